package io.headrace.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** Whether an operation on two whole numbers leaves 64 bits; false where one of them is null. */
public class Overflows extends ScalarFunction {
    public Boolean eval(String sign, Long left, Long right) {
        if (left == null || right == null) {
            return false;
        }
        try {
            switch (sign) {
                case "+":
                    Math.addExact(left, right);
                    return false;
                case "-":
                    Math.subtractExact(left, right);
                    return false;
                case "*":
                    Math.multiplyExact(left, right);
                    return false;
                default:
                    return left == Long.MIN_VALUE && right == -1;
            }
        } catch (ArithmeticException overflow) {
            return true;
        }
    }
}
