package io.headrace.flink;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;

/**
 * From a row to a framed record of one registered schema; a deletion has no value. Columns that are no fields of the
 * schema are left out.
 *
 * <p>Source: Apache Avro 1.11 specification, "Binary Encoding".
 */
public final class AvroEncoder implements SerializationSchema<RowData> {
    private static final long serialVersionUID = 1L;
    private static final int START = 256;

    private final String schema;
    private final int id;
    private final List<Column> columns;

    private transient Writing[] fields;
    private transient byte[] bytes;
    private transient int at;

    /** A field of the schema: its column, and in a union with null the branch that is null (else -1). */
    private record Writing(String name, int column, Column.Type type, Schema.Kind kind, int none) {}

    public AvroEncoder(String schema, int id, List<Column> columns) {
        this.schema = schema;
        this.id = id;
        this.columns = List.copyOf(columns);
        fields();
    }

    private Writing[] fields() {
        Schema found = Schema.parse(schema);
        if (found.kind != Schema.Kind.RECORD) {
            throw new ValidationException("the schema is no record. To mend it: give the schema of the topic's values");
        }
        Map<String, Integer> places = new HashMap<>();
        for (int place = 0; place < columns.size(); place++) {
            places.put(columns.get(place).name(), place);
        }
        return found.fields.stream().map(field -> writing(found, field, places)).toArray(Writing[]::new);
    }

    private Writing writing(Schema record, Schema.Field field, Map<String, Integer> places) {
        String subject = "schema " + record.name + ": ";
        Integer place = places.get(field.name());
        if (place == null) {
            throw new ValidationException(subject + "the table has no column " + field.name()
                    + ". To mend it: give it every field of the schema");
        }
        Schema type = field.type();
        int none = -1;
        if (type.kind == Schema.Kind.UNION) {
            List<Schema> parts = type.parts;
            none = parts.size() == 2 && parts.get(1).kind == Schema.Kind.NULL ? 1
                    : parts.size() == 2 && parts.get(0).kind == Schema.Kind.NULL ? 0 : -1;
            type = none < 0 ? type : parts.get(1 - none);
        }
        Column column = columns.get(place);
        boolean plain = switch (type.kind) {
            case BOOLEAN, INT, LONG, FLOAT, DOUBLE, STRING, BYTES -> true;
            default -> false;
        };
        boolean scaled = type.logical.endsWith("-micros") || type.logical.endsWith("-nanos");
        if (!plain || scaled || !column.type().takes(type)) {
            throw new ValidationException(subject + "the field " + field.name() + " cannot be written from its column. "
                    + "To mend it: give the field and the column one type");
        }
        return new Writing(field.name(), place, column.type(), type.kind, none);
    }

    @Override
    public void open(InitializationContext context) {
        fields = fields();
        bytes = new byte[START];
    }

    @Override
    public byte[] serialize(RowData row) {
        if (row.getRowKind() == RowKind.DELETE || row.getRowKind() == RowKind.UPDATE_BEFORE) {
            return null;
        }
        at = 0;
        room(5);
        bytes[at++] = 0;
        for (int shift = 24; shift >= 0; shift -= 8) {
            bytes[at++] = (byte) (id >> shift);
        }
        for (Writing field : fields) {
            write(field, row);
        }
        return Arrays.copyOf(bytes, at);
    }

    private void write(Writing field, RowData row) {
        boolean absent = row.isNullAt(field.column);
        if (absent && field.none < 0) {
            throw new IllegalArgumentException("the field " + field.name + " is required and null in the row. "
                    + "To mend it: fill it, or widen the schema");
        }
        room(20);
        if (field.none >= 0) {
            bytes[at++] = (byte) (2 * (absent ? field.none : 1 - field.none));
        }
        if (absent) {
            return;
        }
        switch (field.kind) {
            case BOOLEAN -> bytes[at++] = (byte) (row.getBoolean(field.column) ? 1 : 0);
            case INT -> writeLong(Math.toIntExact(whole(field, row)));
            case LONG -> writeLong(whole(field, row));
            case FLOAT -> writeFixed(Integer.toUnsignedLong(Float.floatToRawIntBits((float) row.getDouble(field.column))), 4);
            case DOUBLE -> writeFixed(Double.doubleToRawLongBits(row.getDouble(field.column)), 8);
            default -> writeBytes(field.type == Column.Type.TEXT
                    ? row.getString(field.column).toBytes() : row.getBinary(field.column));
        }
    }

    private static long whole(Writing field, RowData row) {
        return field.type == Column.Type.TIME
                ? row.getTimestamp(field.column, 3).getMillisecond() : row.getLong(field.column);
    }

    private void writeLong(long value) {
        long raw = value << 1 ^ value >> 63;
        while ((raw & ~0x7FL) != 0) {
            bytes[at++] = (byte) (raw & 0x7F | 0x80);
            raw >>>= 7;
        }
        bytes[at++] = (byte) raw;
    }

    private void writeFixed(long raw, int width) {
        for (int place = 0; place < width; place++) {
            bytes[at++] = (byte) (raw >>> 8 * place);
        }
    }

    private void writeBytes(byte[] value) {
        writeLong(value.length);
        room(value.length);
        System.arraycopy(value, 0, bytes, at, value.length);
        at += value.length;
    }

    private void room(int more) {
        if (bytes.length - at < more) {
            bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, at + more));
        }
    }
}
