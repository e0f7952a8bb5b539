"""How every job runs: time zone, parallelism, checkpoints, restarts."""

from __future__ import annotations

from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.ddl import Job


def settings(cluster: Cluster, job: Job) -> dict[str, str]:
    """Flink's settings of a job; what the cluster's own options say comes last."""
    return {
        "table.local-time-zone": "UTC",
        "parallelism.default": str(cluster.parallelism),
        "pipeline.object-reuse": "true",
        "execution.checkpointing.interval": f"{cluster.checkpoint} ms",
        "execution.checkpointing.timeout": "60 s",
        "execution.checkpointing.tolerable-failed-checkpoints": "1000",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": "3",
        # Attempts never run out: a task manager may be away for long.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "200 ms",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": "2147483647",
        **job.settings,
        **cluster.options,
    }
