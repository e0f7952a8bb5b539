package io.headrace.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.functions.AggregateFunction;
import org.apache.flink.types.Row;

/**
 * `hr_moments`: how many, their mean and the sum of squared differences from it; nulls are skipped.
 *
 * <p>Source: Welford (1962) for a value, Chan, Golub and LeVeque (1979) for a merge.
 */
@FunctionHint(output = @DataTypeHint("ROW<n BIGINT, mean DOUBLE, m2 DOUBLE>"))
public final class Moments extends AggregateFunction<Row, Moments.State> {
    private static final long serialVersionUID = 1L;

    public static final class State {
        public long n;
        public double mean;
        public double m2;
    }

    @Override
    public State createAccumulator() {
        return new State();
    }

    public void accumulate(State state, Double value) {
        if (value != null) {
            state.n++;
            double delta = value - state.mean;
            state.mean += delta / state.n;
            state.m2 += delta * (value - state.mean);
        }
    }

    public void merge(State state, Iterable<State> others) {
        for (State other : others) {
            if (other.n == 0) {
                continue;
            }
            if (state.n == 0) {
                state.n = other.n;
                state.mean = other.mean;
                state.m2 = other.m2;
                continue;
            }
            double delta = other.mean - state.mean;
            double n = (double) state.n + other.n;
            state.mean += delta * other.n / n;
            state.m2 += other.m2 + delta * delta * state.n * other.n / n;
            state.n += other.n;
        }
    }

    @Override
    public Row getValue(State state) {
        return state.n == 0 ? Row.of(0L, null, null) : Row.of(state.n, state.mean, state.m2);
    }
}
