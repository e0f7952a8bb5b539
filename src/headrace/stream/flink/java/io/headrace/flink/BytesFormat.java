package io.headrace.flink;

import java.util.List;
import java.util.Set;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.EncodingFormat;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.SerializationFormatFactory;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;

/** Format `headrace-bytes`: the column `value` as it is, for tables whose rows carry more than what is written. */
public final class BytesFormat implements SerializationFormatFactory {
    private static final String VALUE = "value";

    @Override
    public String factoryIdentifier() {
        return "headrace-bytes";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of();
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
                return encoder(Column.of((RowType) type.getLogicalType()));
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return ChangelogMode.insertOnly();
            }
        };
    }

    /** The encoder of a table of these columns. */
    static SerializationSchema<RowData> encoder(List<Column> columns) {
        int place = columns.indexOf(new Column(VALUE, Column.Type.BYTES));
        if (place < 0) {
            throw new ValidationException("format headrace-bytes: there is no column " + VALUE
                    + " BYTES. To mend it: declare it");
        }
        return new Encoder(place);
    }

    /** A class with a name: Flink's Kafka sink looks at its type, and cannot at that of a lambda. */
    private static final class Encoder implements SerializationSchema<RowData> {
        private static final long serialVersionUID = 1L;
        private final int place;

        Encoder(int place) {
            this.place = place;
        }

        @Override
        public byte[] serialize(RowData row) {
            return row.isNullAt(place) ? null : row.getBinary(place);
        }
    }
}
