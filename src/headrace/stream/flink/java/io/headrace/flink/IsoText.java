package io.headrace.flink;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import org.apache.flink.table.functions.ScalarFunction;

/** An instant of milliseconds since 1970 as ISO 8601 in UTC, with a fraction only where it has one. */
public class IsoText extends ScalarFunction {
    private static final DateTimeFormatter WHOLE = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss'+00:00'");
    private static final DateTimeFormatter FRACTION =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'+00:00'");

    public String eval(Long ms) {
        if (ms == null) {
            return null;
        }
        DateTimeFormatter format = ms % 1_000 == 0 ? WHOLE : FRACTION;
        return Instant.ofEpochMilli(ms).atOffset(ZoneOffset.UTC).format(format);
    }
}
