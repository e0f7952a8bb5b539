package io.headrace.flink;

import java.util.Arrays;
import org.apache.flink.connector.kafka.sink.KafkaPartitioner;
import org.apache.flink.table.data.RowData;

/** Writes each row to the partition that its first column, `_partition` BIGINT, names. */
public final class ByPartition implements KafkaPartitioner<RowData> {
    private static final long serialVersionUID = 1L;

    @Override
    public int partition(RowData row, byte[] key, byte[] value, String topic, int[] partitions) {
        if (row.isNullAt(0)) {
            throw new IllegalArgumentException("topic " + topic + ": a row names no partition. "
                    + "To mend it: fill its first column, _partition");
        }
        long wanted = row.getLong(0);
        if (Arrays.stream(partitions).noneMatch(known -> known == wanted)) {
            throw new IllegalArgumentException("topic " + topic + ": it has no partition " + wanted
                    + ". To mend it: give it the partitions of the topic that is read");
        }
        return (int) wanted;
    }
}
