package io.headrace.flink;

import org.apache.flink.table.functions.AggregateFunction;

/** `hr_sum`: an exact sum of whole numbers, which fails where it leaves 64 bits; nulls are skipped, none gives 0. */
public final class Sum extends AggregateFunction<Long, Sum.State> {
    private static final long serialVersionUID = 1L;

    /** The two halves of 128 bits: a sum that comes back into 64 bits is right, in whatever order it is added. */
    public static final class State {
        public long high;
        public long low;
    }

    @Override
    public State createAccumulator() {
        return new State();
    }

    public void accumulate(State state, Long value) {
        if (value != null) {
            add(state, value >> 63, value);
        }
    }

    public void merge(State state, Iterable<State> others) {
        for (State other : others) {
            add(state, other.high, other.low);
        }
    }

    private static void add(State state, long high, long low) {
        long sum = state.low + low;
        long carry = Long.compareUnsigned(sum, low) < 0 ? 1 : 0;
        state.high += high + carry;
        state.low = sum;
    }

    @Override
    public Long getValue(State state) {
        if (state.high != state.low >> 63) {
            throw new ArithmeticException("a sum of whole numbers leaves 64 bits");
        }
        return state.low;
    }
}
