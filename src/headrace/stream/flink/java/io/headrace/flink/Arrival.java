package io.headrace.flink;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Map;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.ScalarFunction;

/** When a record arrived, ms: by the header of a trusted producer, else when the broker appended it. */
public class Arrival extends ScalarFunction {
    private static final String HEADER = "headrace-arrival";

    public Long eval(
            @DataTypeHint("MAP<STRING, BYTES>") Map<String, byte[]> headers,
            @DataTypeHint("TIMESTAMP_LTZ(3)") Instant appended) {
        byte[] given = headers == null ? null : headers.get(HEADER);
        if (given != null) {
            try {
                return Long.parseLong(new String(given, StandardCharsets.US_ASCII));
            } catch (NumberFormatException notANumber) {
                return appended.toEpochMilli();
            }
        }
        return appended.toEpochMilli();
    }
}
