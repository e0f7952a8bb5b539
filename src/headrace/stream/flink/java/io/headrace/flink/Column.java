package io.headrace.flink;

import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/** A column of a table, and how a value that was read becomes a value of it. */
public record Column(String name, Type type) implements Serializable {
    public enum Type {
        TEXT, WHOLE, REAL, TRUTH, TIME, BYTES,
        /** Of a type that no Avro type becomes. */
        OTHER;

        /** Whether a value of this Avro type is a value of the column. */
        boolean takes(Schema schema) {
            return switch (schema.kind) {
                case NULL -> this != OTHER;
                case BOOLEAN -> this == TRUTH;
                case INT, LONG -> this == WHOLE || this == TIME;
                case FLOAT, DOUBLE -> this == REAL;
                case STRING, ENUM -> this == TEXT;
                case BYTES, FIXED -> this == BYTES;
                case UNION -> schema.parts.stream().allMatch(this::takes);
                default -> false;
            };
        }

        Object whole(long value) {
            return switch (this) {
                case WHOLE -> value;
                case TIME -> TimestampData.fromEpochMillis(value);
                case REAL -> (double) value;
                default -> null;
            };
        }

        /** A default as JSON gives it. */
        Object fallback(JsonNode value) {
            if (value.isNull()) {
                return null;
            }
            return switch (this) {
                case TEXT -> StringData.fromString(value.asText());
                case REAL -> value.asDouble();
                case TRUTH -> value.asBoolean();
                case BYTES -> value.asText().getBytes(StandardCharsets.ISO_8859_1);
                default -> whole(value.asLong());
            };
        }
    }

    static List<Column> of(RowType row) {
        List<Column> columns = new ArrayList<>();
        for (RowType.RowField field : row.getFields()) {
            columns.add(new Column(field.getName(), typeOf(field.getType())));
        }
        return columns;
    }

    private static Type typeOf(LogicalType type) {
        return switch (type.getTypeRoot()) {
            case CHAR, VARCHAR -> Type.TEXT;
            case BIGINT -> Type.WHOLE;
            case DOUBLE -> Type.REAL;
            case BOOLEAN -> Type.TRUTH;
            case VARBINARY -> Type.BYTES;
            case TIMESTAMP_WITHOUT_TIME_ZONE -> LogicalTypeChecks.getPrecision(type) == 3 ? Type.TIME : Type.OTHER;
            default -> Type.OTHER;
        };
    }
}
