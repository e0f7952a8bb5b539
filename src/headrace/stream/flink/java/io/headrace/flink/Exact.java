package io.headrace.flink;

import java.util.function.LongBinaryOperator;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * Arithmetic on whole numbers, which Flink's own operators wrap: null where the result leaves 64 bits, and a function
 * that tells where that is. Null where an operand is null.
 */
public final class Exact {
    private Exact() {}

    private static Long within(LongBinaryOperator operator, Long left, Long right) {
        if (left == null || right == null) {
            return null;
        }
        try {
            return operator.applyAsLong(left, right);
        } catch (ArithmeticException overflow) {
            return null;
        }
    }

    /** `hr_add`. */
    public static final class Add extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long left, Long right) {
            return within(Math::addExact, left, right);
        }
    }

    /** `hr_sub`. */
    public static final class Subtract extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long left, Long right) {
            return within(Math::subtractExact, left, right);
        }
    }

    /** `hr_mul`. */
    public static final class Multiply extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long left, Long right) {
            return within(Math::multiplyExact, left, right);
        }
    }

    /** `hr_abs`. */
    public static final class Abs extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long value) {
            return value == null || value == Long.MIN_VALUE ? null : Long.valueOf(Math.abs(value));
        }
    }

    /** `hr_divide`: of floats, for a divisor that the planner must not look at. */
    public static final class Divide extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Double eval(Double left, Double right) {
            return left == null || right == null ? null : Double.valueOf(left / right);
        }
    }

    /** `hr_truncate`: a float without its fraction. */
    public static final class Truncate extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Double eval(Double value) {
            return value == null ? null : Double.valueOf(value < 0 ? Math.ceil(value) : Math.floor(value));
        }
    }

    /** `hr_overflows`: whether an operation (`+`, `-`, `*`, `/` or `%`) leaves 64 bits. */
    public static final class Overflows extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Boolean eval(String sign, Long left, Long right) {
            if (left == null || right == null) {
                return false;
            }
            switch (sign) {
                case "+":
                    return within(Math::addExact, left, right) == null;
                case "-":
                    return within(Math::subtractExact, left, right) == null;
                case "*":
                    return within(Math::multiplyExact, left, right) == null;
                default:
                    return left == Long.MIN_VALUE && right == -1;
            }
        }
    }

    /** `hr_sure`: a number that must have stayed within 64 bits; an error where it did not, as on every engine. */
    public static final class Sure extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long value, Boolean over) {
            if (Boolean.TRUE.equals(over)) {
                throw new ArithmeticException("an expression on whole numbers leaves 64 bits");
            }
            return value;
        }
    }
}
