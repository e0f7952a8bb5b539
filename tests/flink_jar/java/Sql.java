import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** Executes each line of stdin, a statement as a JSON string, and answers with its rows; [name, value] is a setting. */
public final class Sql {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        boolean streaming = arguments[0].equals("streaming");
        EnvironmentSettings.Builder settings = EnvironmentSettings.newInstance();
        TableEnvironment tables =
                TableEnvironment.create((streaming ? settings.inStreamingMode() : settings.inBatchMode()).build());
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            JsonNode asked = JSON.readTree(line);
            if (asked.isArray()) {
                tables.getConfig().set(asked.get(0).asText(), asked.get(1).asText());
                out.println("{}");
                continue;
            }
            try (CloseableIterator<Row> rows = tables.executeSql(asked.asText()).collect()) {
                ArrayNode found = answer.putArray("rows");
                while (rows.hasNext()) {
                    Row row = rows.next();
                    ArrayNode each = found.addArray();
                    each.add(row.getKind().shortString());
                    values(row, each);
                }
            } catch (Exception error) {
                List<String> causes = new ArrayList<>();
                for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                    causes.add(cause.getClass().getSimpleName() + ": " + cause.getMessage());
                }
                answer.put("error", String.join("\n", causes));
            }
            out.println(JSON.writeValueAsString(answer));
        }
    }

    private static void values(Row row, ArrayNode into) {
        for (int place = 0; place < row.getArity(); place++) {
            Object value = row.getField(place);
            if (value instanceof Row inner) {
                values(inner, into.addArray());
            } else if (value instanceof Double number) {
                into.add(number);
            } else if (value instanceof Number number) {
                into.add(number.longValue());
            } else if (value instanceof Boolean truth) {
                into.add(truth);
            } else {
                into.add(value == null ? null : value.toString());
            }
        }
    }
}
