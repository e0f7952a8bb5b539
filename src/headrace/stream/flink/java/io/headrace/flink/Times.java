package io.headrace.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/** Between milliseconds and TIMESTAMP(3) in UTC, whatever the session's time zone. */
public final class Times {
    /** The last millisecond of the year 9999. */
    private static final long LATEST = 253_402_300_799_999L;

    private Times() {}

    /** `hr_time`: null outside of the years 1970 to 9999. */
    public static final class Time extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        @DataTypeHint(value = "TIMESTAMP(3)", bridgedTo = TimestampData.class)
        public TimestampData eval(Long millis) {
            return millis == null || millis < 0 || millis > LATEST ? null : TimestampData.fromEpochMillis(millis);
        }
    }

    /** `hr_ms`. */
    public static final class Millis extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(@DataTypeHint(value = "TIMESTAMP(3)", bridgedTo = TimestampData.class) TimestampData time) {
            return time == null ? null : Long.valueOf(time.getMillisecond());
        }
    }
}
