package io.headrace.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** Whole numbers that fail where they leave 64 bits, where Flink would wrap; null where an operand is null. */
public final class Exact {
    private Exact() {}

    /** `hr_add`. */
    public static final class Add extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long left, Long right) {
            return left == null || right == null ? null : Long.valueOf(Math.addExact(left, right));
        }
    }

    /** `hr_sub`. */
    public static final class Subtract extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long left, Long right) {
            return left == null || right == null ? null : Long.valueOf(Math.subtractExact(left, right));
        }
    }

    /** `hr_mul`. */
    public static final class Multiply extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long left, Long right) {
            return left == null || right == null ? null : Long.valueOf(Math.multiplyExact(left, right));
        }
    }

    /** `hr_neg`. */
    public static final class Negate extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long value) {
            return value == null ? null : Long.valueOf(Math.negateExact(value));
        }
    }

    /** `hr_abs`. */
    public static final class Abs extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Long eval(Long value) {
            return value == null ? null : Long.valueOf(Math.absExact(value));
        }
    }
}
