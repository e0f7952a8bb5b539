package io.headrace.flink;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.types.Row;

/**
 * The place of the dead letter that a record repairs, from its header; all null where it repairs none. A header that
 * is not the id of a record of the topic is given as it is, as Python writes bytes.
 */
public class Repair extends ScalarFunction {
    private static final String HEADER = "headrace-repairs";
    private static final int SHOWN = 200;
    private static final Pattern PLACE = Pattern.compile("(.+)/([0-9]{1,9})/([0-9]{1,19})", Pattern.DOTALL);

    @DataTypeHint("ROW<`partition` BIGINT, `offset` BIGINT, `malformed` STRING>")
    public Row eval(@DataTypeHint("MAP<STRING, BYTES>") Map<String, byte[]> headers, String topic) {
        if (headers == null || !headers.containsKey(HEADER)) {
            return Row.of(null, null, null);
        }
        byte[] given = headers.get(HEADER);
        byte[] bytes = given == null ? new byte[0] : given;
        Matcher place = PLACE.matcher(new String(bytes, StandardCharsets.UTF_8));
        if (place.matches() && place.group(1).equals(topic)) {
            try {
                return Row.of(Long.parseLong(place.group(2)), Long.parseLong(place.group(3)), null);
            } catch (NumberFormatException tooLarge) {
                return Row.of(null, null, written(bytes));
            }
        }
        return Row.of(null, null, written(bytes));
    }

    private static String written(byte[] bytes) {
        String latin = new String(bytes, 0, Math.min(bytes.length, SHOWN), StandardCharsets.ISO_8859_1);
        char quote = latin.indexOf('\'') >= 0 && latin.indexOf('"') < 0 ? '"' : '\'';
        StringBuilder text = new StringBuilder("b").append(quote);
        for (char c : latin.toCharArray()) {
            if (c == quote || c == '\\') {
                text.append('\\').append(c);
            } else if (c == '\t') {
                text.append("\\t");
            } else if (c == '\n') {
                text.append("\\n");
            } else if (c == '\r') {
                text.append("\\r");
            } else if (c < ' ' || c > '~') {
                text.append(String.format("\\x%02x", (int) c));
            } else {
                text.append(c);
            }
        }
        return text.append(quote).toString();
    }
}
