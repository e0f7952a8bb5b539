"""The engine on Flink: two kinds of SQL jobs, submitted and watched by the roles enrich and tile."""
