package io.headrace.flink;

import java.util.List;
import java.util.Set;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.EncodingFormat;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.SerializationFormatFactory;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;

/**
 * Format `headrace-enriched`: a row whose `_dead` BOOLEAN is true is written as its `_value` BYTES, as they came; every
 * other one as Avro. So enriched records and dead letters leave through one sink, in one transaction.
 */
public final class EnrichedFormat implements SerializationFormatFactory {
    private static final ConfigOption<String> SCHEMA = ConfigOptions.key("schema").stringType().noDefaultValue()
            .withDescription("The registered schema of enriched records, as JSON.");
    private static final ConfigOption<Integer> SCHEMA_ID = ConfigOptions.key("schema-id").intType().noDefaultValue()
            .withDescription("The schema's id in the registry.");

    @Override
    public String factoryIdentifier() {
        return "headrace-enriched";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(SCHEMA, SCHEMA_ID);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of();
    }

    @Override
    public EncodingFormat<SerializationSchema<RowData>> createEncodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        return new EncodingFormat<>() {
            @Override
            public SerializationSchema<RowData> createRuntimeEncoder(DynamicTableSink.Context table, DataType type) {
                List<Column> columns = Column.of((RowType) type.getLogicalType());
                int dead = columns.indexOf(new Column("_dead", Column.Type.TRUTH));
                int value = columns.indexOf(new Column("_value", Column.Type.BYTES));
                return new Encoder(new AvroEncoder(options.get(SCHEMA), options.get(SCHEMA_ID), columns), dead, value);
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return ChangelogMode.insertOnly();
            }
        };
    }

    /** A class with a name: Flink's Kafka sink looks at its type. */
    private static final class Encoder implements SerializationSchema<RowData> {
        private static final long serialVersionUID = 1L;
        private final AvroEncoder avro;
        private final int dead;
        private final int value;

        Encoder(AvroEncoder avro, int dead, int value) {
            this.avro = avro;
            this.dead = dead;
            this.value = value;
        }

        @Override
        public void open(InitializationContext context) throws Exception {
            avro.open(context);
        }

        @Override
        public byte[] serialize(RowData row) {
            if (row.getBoolean(dead)) {
                return row.isNullAt(value) ? null : row.getBinary(value);
            }
            return avro.serialize(row);
        }
    }
}
