package io.headrace.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** The size of a whole number; null where it is null or leaves 64 bits (see Overflows). */
public class Absolute extends ScalarFunction {
    public Long eval(Long value) {
        return value == null || value == Long.MIN_VALUE ? null : Long.valueOf(Math.abs(value));
    }
}
