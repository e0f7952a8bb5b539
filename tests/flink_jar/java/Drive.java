import io.headrace.flink.AvroDecoder;
import io.headrace.flink.AvroEncoder;
import io.headrace.flink.Column;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;

/** Answers each line of JSON on stdin with one on stdout. Floats are their bits, bytes are hex. */
public final class Drive {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            try {
                JsonNode asked = JSON.readTree(line);
                switch (asked.get("do").asText()) {
                    case "decode" -> decode(asked, answer);
                    case "encode" -> encode(asked, answer);
                    case "aggregate" -> aggregate(asked, answer);
                    case "time" -> time(asked, answer);
                    default -> throw new IllegalArgumentException("unknown: " + asked.get("do"));
                }
            } catch (Exception error) {
                answer.put("error", error.getClass().getSimpleName()).put("text", String.valueOf(error.getMessage()));
            }
            out.println(JSON.writeValueAsString(answer));
        }
    }

    private static void decode(JsonNode asked, ObjectNode answer) throws Exception {
        List<Column> columns = columns(asked);
        AvroDecoder decoder = decoder(asked, columns);
        ArrayNode rows = answer.putArray("rows");
        for (JsonNode record : asked.get("records")) {
            RowData row = decoder.deserialize(record.isNull() ? null : HEX.parseHex(record.asText()));
            ArrayNode found = rows.addArray();
            for (int place = 0; place < columns.size(); place++) {
                if (row.isNullAt(place)) {
                    found.addNull();
                    continue;
                }
                switch (columns.get(place).type()) {
                    case TEXT -> found.add(row.getString(place).toString());
                    case WHOLE -> found.add(row.getLong(place));
                    case REAL -> found.add(Double.doubleToRawLongBits(row.getDouble(place)));
                    case TRUTH -> found.add(row.getBoolean(place));
                    case TIME -> found.add(row.getTimestamp(place, 3).getMillisecond());
                    default -> found.add(HEX.formatHex(row.getBinary(place)));
                }
            }
        }
    }

    private static void encode(JsonNode asked, ObjectNode answer) throws Exception {
        List<Column> columns = columns(asked);
        AvroEncoder encoder = new AvroEncoder(asked.get("schema").asText(), asked.get("id").asInt(), columns);
        encoder.open(null);
        ArrayNode records = answer.putArray("records");
        for (JsonNode row : asked.get("rows")) {
            byte[] found = encoder.serialize(row(row, columns, RowKind.valueOf(asked.path("kind").asText("INSERT"))));
            records.add(found == null ? null : HEX.formatHex(found));
        }
    }

    /** The result over all groups: each is accumulated alone, then they are merged. */
    private static void aggregate(JsonNode asked, ObjectNode answer) throws Exception {
        String name = "io.headrace.flink." + asked.get("function").asText();
        Object function = Class.forName(name).getDeclaredConstructor().newInstance();
        List<Object> parts = new ArrayList<>();
        for (JsonNode group : asked.get("groups")) {
            Object part = call(function, "createAccumulator");
            for (JsonNode event : group) {
                List<Object> values = new ArrayList<>(List.of(part));
                event.forEach(value -> values.add(value.isNull() ? null : value.isTextual() ? value.asText()
                        : value.isFloatingPointNumber() ? (Object) value.asDouble() : (Object) value.asLong()));
                call(function, "accumulate", values.toArray());
            }
            parts.add(part);
        }
        Object whole = call(function, "createAccumulator");
        call(function, "merge", whole, parts);
        Object value = call(function, "getValue", whole);
        List<Object> found = new ArrayList<>();
        for (int place = 0; value instanceof Row row && place < row.getArity(); place++) {
            found.add(row.getField(place));
        }
        answer.set("value", JSON.valueToTree(value instanceof Row ? found : value));
    }

    private static Object call(Object function, String name, Object... values) throws Exception {
        for (Method method : function.getClass().getMethods()) {
            if (method.getName().equals(name) && method.getParameterCount() == values.length && !method.isBridge()) {
                try {
                    return method.invoke(function, values);
                } catch (InvocationTargetException error) {
                    throw (Exception) error.getCause();
                }
            }
        }
        throw new NoSuchMethodException(name);
    }

    /** Nanoseconds a record, of the best of several rounds over the same records. */
    private static void time(JsonNode asked, ObjectNode answer) throws Exception {
        List<Column> columns = columns(asked);
        AvroDecoder decoder = decoder(asked, columns);
        List<byte[]> records = new ArrayList<>();
        asked.get("records").forEach(record -> records.add(HEX.parseHex(record.asText())));
        AvroEncoder encoder = new AvroEncoder(asked.get("schema").asText(), 1, columns);
        encoder.open(null);
        double decoded = Double.MAX_VALUE;
        double encoded = Double.MAX_VALUE;
        long kept = 0;
        for (int round = 0; round < 30; round++) {
            List<RowData> rows = new ArrayList<>(records.size());
            long begin = System.nanoTime();
            for (byte[] record : records) {
                rows.add(decoder.deserialize(record));
            }
            long middle = System.nanoTime();
            for (RowData row : rows) {
                kept += encoder.serialize(row).length;
            }
            decoded = Math.min(decoded, (double) (middle - begin) / records.size());
            encoded = Math.min(encoded, (double) (System.nanoTime() - middle) / records.size());
        }
        answer.put("decode", decoded).put("encode", encoded).put("bytes", kept);
    }

    private static AvroDecoder decoder(JsonNode asked, List<Column> columns) {
        String authorization = asked.hasNonNull("authorization") ? asked.get("authorization").asText() : null;
        AvroDecoder decoder =
                new AvroDecoder(asked.get("url").asText(), authorization, asked.get("schema").asText(), columns, null);
        decoder.open(null);
        return decoder;
    }

    private static List<Column> columns(JsonNode asked) {
        List<Column> columns = new ArrayList<>();
        asked.get("columns").forEach(each ->
                columns.add(new Column(each.get(0).asText(), Column.Type.valueOf(each.get(1).asText()))));
        return columns;
    }

    private static RowData row(JsonNode values, List<Column> columns, RowKind kind) {
        GenericRowData row = new GenericRowData(kind, columns.size());
        for (int place = 0; place < columns.size(); place++) {
            JsonNode value = values.get(place);
            if (value.isNull()) {
                continue;
            }
            row.setField(place, switch (columns.get(place).type()) {
                case TEXT -> StringData.fromString(value.asText());
                case WHOLE -> value.asLong();
                case REAL -> Double.longBitsToDouble(value.asLong());
                case TRUTH -> value.asBoolean();
                case TIME -> TimestampData.fromEpochMillis(value.asLong());
                default -> HEX.parseHex(value.asText());
            });
        }
        return row;
    }
}
