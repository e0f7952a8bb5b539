package io.headrace.flink;

import org.apache.flink.table.functions.AggregateFunction;

/** `hr_sum_float`: the sum of floats; nulls are skipped, none gives 0.0. */
public final class RealSum extends AggregateFunction<Double, RealSum.State> {
    private static final long serialVersionUID = 1L;

    public static final class State {
        public double sum;
    }

    @Override
    public State createAccumulator() {
        return new State();
    }

    public void accumulate(State state, Double value) {
        if (value != null) {
            state.sum += value;
        }
    }

    public void merge(State state, Iterable<State> others) {
        for (State other : others) {
            state.sum += other.sum;
        }
    }

    @Override
    public Double getValue(State state) {
        return state.sum;
    }
}
