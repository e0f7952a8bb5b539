package io.headrace.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** Math.addExact of two whole numbers; null where one is null or the result leaves 64 bits (see Overflows). */
public class Add extends ScalarFunction {
    public Long eval(Long left, Long right) {
        if (left == null || right == null) {
            return null;
        }
        try {
            return Math.addExact(left, right);
        } catch (ArithmeticException overflow) {
            return null;
        }
    }
}
