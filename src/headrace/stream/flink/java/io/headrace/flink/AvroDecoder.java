package io.headrace.flink;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;

/**
 * From a message to a row of the table's columns. A message that is no record is a row of nulls with the reason in the
 * column `_error`; a registry that cannot tell is an IOException, so that an outage never makes dead letters.
 */
public final class AvroDecoder implements DeserializationSchema<RowData> {
    public static final String ERROR = "_error";
    public static final String VALUE = "_value";

    private static final long serialVersionUID = 1L;
    private static final int HEAD = 5;
    private static final int UNKNOWN = 10_000;
    /** How long an id is believed to be unknown: a flood of bad records must not become a flood of questions. */
    private static final long UNKNOWN_NANOS = 1_000_000_000L;

    private final String url;
    private final String authorization;
    private final String schema;
    private final List<Column> columns;
    private final int width;
    private final int error;
    private final int value;
    private final TypeInformation<RowData> produced;

    private transient Registry registry;
    private transient Schema reader;
    private transient Map<Integer, Reading> readings;
    private transient Map<Integer, Long> unknown;

    /** columns: the table's, in order; those named ERROR and VALUE are no fields of the schema. */
    public AvroDecoder(
            String url, String authorization, String schema, List<Column> columns, TypeInformation<RowData> produced) {
        this.url = url;
        this.authorization = authorization;
        this.schema = schema;
        this.columns = List.copyOf(columns);
        this.produced = produced;
        width = columns.size();
        error = special(ERROR, Column.Type.TEXT);
        value = special(VALUE, Column.Type.BYTES);
        check(Schema.parse(schema));
    }

    private int special(String name, Column.Type type) {
        for (int place = 0; place < width; place++) {
            if (columns.get(place).name().equals(name)) {
                if (columns.get(place).type() != type) {
                    throw new ValidationException("column " + name + " is not " + (type == Column.Type.TEXT ? "STRING" : "BYTES"));
                }
                return place;
            }
        }
        return -1;
    }

    private void check(Schema found) {
        if (found.kind != Schema.Kind.RECORD) {
            throw new ValidationException("the schema is no record. To mend it: give the schema of the topic's values");
        }
        for (int place = 0; place < width; place++) {
            Column column = columns.get(place);
            if (place == error || place == value) {
                continue;
            }
            Schema.Field field = found.field(column.name(), List.of());
            if (field == null) {
                throw new ValidationException("schema " + found.name + ": it has no field " + column.name()
                        + ". To mend it: read with a schema of all columns");
            }
            if (!column.type().takes(field.type())) {
                throw new ValidationException("schema " + found.name + ": its field " + column.name() + " is "
                        + field.type().kind.name().toLowerCase(Locale.ROOT)
                        + ". To mend it: make the column STRING, BIGINT, DOUBLE, BOOLEAN, BYTES or TIMESTAMP(3) to match");
            }
        }
    }

    @Override
    public void open(InitializationContext context) {
        registry = new Registry(url, authorization);
        reader = Schema.parse(schema);
        readings = new HashMap<>();
        unknown = new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<Integer, Long> eldest) {
                return size() > UNKNOWN;
            }
        };
    }

    @Override
    public RowData deserialize(byte[] message) throws IOException {
        GenericRowData row = new GenericRowData(width);
        try {
            read(message, row);
        } catch (Undecodable refused) {
            if (error < 0) {
                throw new IOException("a record is undecodable: " + refused.getMessage()
                        + ". To mend it: give the table a column " + ERROR + " STRING", refused);
            }
            row = new GenericRowData(width);
            row.setField(error, StringData.fromString(refused.getMessage()));
        }
        if (value >= 0) {
            row.setField(value, message);
        }
        return row;
    }

    private void read(byte[] message, GenericRowData row) throws IOException, Undecodable {
        if (message == null) {
            throw Undecodable.TOMBSTONE;
        }
        if (message.length < HEAD || message[0] != 0) {
            throw Undecodable.UNFRAMED;
        }
        int id = (message[1] & 0xFF) << 24 | (message[2] & 0xFF) << 16 | (message[3] & 0xFF) << 8 | message[4] & 0xFF;
        Reading reading = readings.get(id);
        if (reading == null) {
            reading = fetched(id);
        }
        Input input = new Input(message, HEAD);
        reading.read(input, row);
        if (!input.atEnd()) {
            throw Undecodable.LONG;
        }
    }

    private Reading fetched(int id) throws IOException, Undecodable {
        Long asked = unknown.get(id);
        if (asked != null && System.nanoTime() - asked < UNKNOWN_NANOS) {
            throw Undecodable.unknown(id);
        }
        String text = registry.byId(id);
        if (text == null) {
            unknown.put(id, System.nanoTime());
            throw Undecodable.unknown(id);
        }
        Schema writer;
        try {
            writer = Schema.parse(text);
        } catch (IllegalArgumentException error) {
            throw new IOException("schema " + Integer.toUnsignedString(id) + " is not Avro: " + error.getMessage(), error);
        }
        Reading reading = new Reading(writer, reader, fields());
        readings.put(id, reading);
        return reading;
    }

    /** The columns at their places; the special ones stand under names that no field has. */
    private List<Column> fields() {
        List<Column> found = new ArrayList<>(columns);
        for (int place : new int[] {error, value}) {
            if (place >= 0) {
                found.set(place, new Column("", columns.get(place).type()));
            }
        }
        return found;
    }

    @Override
    public boolean isEndOfStream(RowData row) {
        return false;
    }

    @Override
    public TypeInformation<RowData> getProducedType() {
        return produced;
    }
}
