package io.headrace.flink;

import java.util.Set;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.format.EncodingFormat;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.SerializationFormatFactory;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;

/**
 * Format `headrace-avro`: Avro with Confluent's framing, read and written with the registered schema itself, never one
 * derived from the DDL; a record that cannot be read is a row with the reason in `_error`.
 */
public final class AvroFormat implements DeserializationFormatFactory, SerializationFormatFactory {
    private static final ConfigOption<String> SCHEMA = ConfigOptions.key("schema").stringType().noDefaultValue()
            .withDescription("The registered schema of the topic's values, as JSON.");
    private static final ConfigOption<String> URL = ConfigOptions.key("url").stringType().noDefaultValue()
            .withDescription("Where the registry's Confluent API begins; to read.");
    private static final ConfigOption<String> AUTHORIZATION = ConfigOptions.key("authorization").stringType()
            .noDefaultValue().withDescription("The Authorization header for the registry.");
    private static final ConfigOption<Integer> SCHEMA_ID = ConfigOptions.key("schema-id").intType().noDefaultValue()
            .withDescription("The schema's id in the registry; to write.");

    @Override
    public String factoryIdentifier() {
        return "headrace-avro";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(SCHEMA);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(URL, AUTHORIZATION, SCHEMA_ID);
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        String url = required(options, URL, "read");
        return new DecodingFormat<>() {
            @Override
            public DeserializationSchema<RowData> createRuntimeDecoder(DynamicTableSource.Context table, DataType type) {
                String authorization = options.getOptional(AUTHORIZATION).orElse(null);
                RowType row = (RowType) type.getLogicalType();
                return new AvroDecoder(
                        url, authorization, options.get(SCHEMA), Column.of(row), table.createTypeInformation(type));
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return ChangelogMode.insertOnly();
            }
        };
    }

    @Override
    public EncodingFormat<SerializationSchema<RowData>> createEncodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        int id = required(options, SCHEMA_ID, "write");
        return new EncodingFormat<>() {
            @Override
            public SerializationSchema<RowData> createRuntimeEncoder(DynamicTableSink.Context table, DataType type) {
                return new AvroEncoder(options.get(SCHEMA), id, Column.of((RowType) type.getLogicalType()));
            }

            @Override
            public ChangelogMode getChangelogMode() {
                // The newest row of a key counts: an update needs no retraction of what was before.
                return ChangelogMode.newBuilder()
                        .addContainedKind(RowKind.INSERT).addContainedKind(RowKind.UPDATE_AFTER).build();
            }
        };
    }

    private static <T> T required(ReadableConfig options, ConfigOption<T> option, String what) {
        return options.getOptional(option).orElseThrow(() -> new ValidationException(
                "format headrace-avro: the option " + option.key() + " is not there. To mend it: give it to " + what));
    }
}
