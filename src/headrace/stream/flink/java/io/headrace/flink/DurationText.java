package io.headrace.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** The shortest text of a number of milliseconds: 7d, 90s, 1500ms. */
public class DurationText extends ScalarFunction {
    private static final long[] SIZES = {86_400_000L, 3_600_000L, 60_000L, 1_000L};
    private static final String[] UNITS = {"d", "h", "m", "s"};

    public String eval(Long ms) {
        if (ms == null) {
            return null;
        }
        for (int place = 0; place < SIZES.length; place++) {
            if (ms != 0 && ms % SIZES[place] == 0) {
                return ms / SIZES[place] + UNITS[place];
            }
        }
        return ms + "ms";
    }
}
