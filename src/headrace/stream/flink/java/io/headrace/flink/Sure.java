package io.headrace.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** A whole number that must have stayed within 64 bits: an error where it did not, as on every engine. */
public class Sure extends ScalarFunction {
    public Long eval(Long value, Boolean over) {
        if (Boolean.TRUE.equals(over)) {
            throw new ArithmeticException("an expression on whole numbers leaves 64 bits");
        }
        return value;
    }
}
