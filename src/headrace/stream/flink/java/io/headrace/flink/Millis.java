package io.headrace.flink;

import java.time.LocalDateTime;
import java.time.ZoneOffset;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.ScalarFunction;

/** A time as milliseconds since 1970, UTC. */
public class Millis extends ScalarFunction {
    public Long eval(@DataTypeHint("TIMESTAMP(3)") LocalDateTime time) {
        return time == null ? null : time.toInstant(ZoneOffset.UTC).toEpochMilli();
    }
}
