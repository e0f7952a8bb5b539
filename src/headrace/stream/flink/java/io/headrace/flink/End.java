package io.headrace.flink;

import static org.apache.flink.table.types.inference.InputTypeStrategies.explicitSequence;
import static org.apache.flink.table.types.inference.InputTypeStrategies.or;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Optional;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.functions.AggregateFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.StateTypeStrategy;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategy;
import org.apache.flink.types.Row;

/**
 * The value at one end of the order by (time, id); nulls are skipped. Called with (value, at, id), it gives a row of
 * the same three; all are null where there is none.
 */
public abstract class End extends AggregateFunction<Row, Row> {
    private static final long serialVersionUID = 1L;
    private static final DataType AT = DataTypes.BIGINT();
    private static final DataType ID = DataTypes.STRING();

    private final int sign;

    private End(int sign) {
        this.sign = sign;
    }

    /** `hr_first`. */
    public static final class First extends End {
        private static final long serialVersionUID = 1L;

        public First() {
            super(-1);
        }
    }

    /** `hr_last`. */
    public static final class Last extends End {
        private static final long serialVersionUID = 1L;

        public Last() {
            super(1);
        }
    }

    @Override
    public Row createAccumulator() {
        return new Row(3);
    }

    public void accumulate(Row state, Object value, Long at, String id) {
        if (value != null && at != null && id != null) {
            keep(state, value, at, id);
        }
    }

    public void merge(Row state, Iterable<Row> others) {
        for (Row other : others) {
            if (other.getField(1) != null) {
                keep(state, other.getField(0), (Long) other.getField(1), (String) other.getField(2));
            }
        }
    }

    private void keep(Row state, Object value, long at, String id) {
        Long held = (Long) state.getField(1);
        int order = held == null ? sign : Long.compare(at, held);
        if (order == 0) {
            order = Arrays.compareUnsigned(bytes(id), bytes((String) state.getField(2)));
        }
        if (order * sign > 0) {
            state.setField(0, value);
            state.setField(1, at);
            state.setField(2, id);
        }
    }

    /** Texts are in the order of their bytes, as in DuckDB; Java's order differs beyond the basic plane. */
    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public Row getValue(Row state) {
        return Row.copy(state);
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory factory) {
        TypeStrategy row = call -> Optional.of(DataTypes.ROW(
                DataTypes.FIELD("value", call.getArgumentDataTypes().get(0).nullable()),
                DataTypes.FIELD("at", AT),
                DataTypes.FIELD("id", ID)));
        LinkedHashMap<String, StateTypeStrategy> states = new LinkedHashMap<>();
        states.put("state", StateTypeStrategy.of(row));
        return TypeInference.newBuilder()
                .inputTypeStrategy(or(
                        explicitSequence(DataTypes.BIGINT(), AT, ID),
                        explicitSequence(DataTypes.DOUBLE(), AT, ID),
                        explicitSequence(DataTypes.STRING(), AT, ID)))
                .stateTypeStrategies(states)
                .outputTypeStrategy(row)
                .build();
    }
}
