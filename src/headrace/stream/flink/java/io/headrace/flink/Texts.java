package io.headrace.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** Texts in the order of their code points; Flink's own order is that of UTF-16 or of UTF-8, as it happens. */
public final class Texts {
    private Texts() {}

    /** `hr_compare`: below 0, 0 or above 0; null where one is null. */
    public static final class Compare extends ScalarFunction {
        private static final long serialVersionUID = 1L;

        public Integer eval(String left, String right) {
            return left == null || right == null ? null : Integer.valueOf(compare(left, right));
        }
    }

    static int compare(String left, String right) {
        int length = Math.min(left.length(), right.length());
        for (int place = 0; place < length; place++) {
            char one = left.charAt(place);
            char other = right.charAt(place);
            if (one != other) {
                boolean high = Character.isSurrogate(one);
                return high == Character.isSurrogate(other) ? Character.compare(one, other) : high ? 1 : -1;
            }
        }
        return Integer.compare(left.length(), right.length());
    }
}
