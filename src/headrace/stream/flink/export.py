"""The jobs as files: SQL for Flink's own client, and programs for `flink run -py` that need no Headrace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from headrace.declare.declaration import Declaration
from headrace.declare.topics import Topics
from headrace.schema.avro import nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.epochs import Epoch
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.ddl import Job
from headrace.stream.flink.enriching import enrich_job
from headrace.stream.flink.readers import readers
from headrace.stream.flink.settings import settings
from headrace.stream.flink.tiling import tile_job
from headrace.stream.layouts import TILES

_PROGRAM: Final = '''"""The job `{name}`, written by `headrace export flink`. Run it with `flink run -py {file}`.

Flink needs the project's jar, and the connectors for Kafka and JDBC, on its classpath or as --jar.
"""

import json

from pyflink.table import EnvironmentSettings, TableEnvironment

JOB = json.loads({job!r})

environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
for name, value in JOB["settings"].items():
    environment.get_config().set(name, value)
for statement in JOB["statements"]:
    environment.execute_sql(statement)
together = environment.create_statement_set()
for insert in JOB["inserts"]:
    together.add_insert_sql(insert)
print(together.execute().get_job_client().get_job_id())
'''


def export(declaration: Declaration, schemas: Schemas, cluster: Cluster, folder: Path) -> list[Path]:
    """Writes both jobs as they would begin today, from the start of their topics; the files.

    The schemas are registered, for their ids are part of the jobs. The topics must be there when a job begins.
    """
    tiles = Topics.of(declaration).tiles
    schema_id = schemas.register(f"{tiles}-value", nullable_schema(tiles, TILES)).id
    views = list(declaration.views.values())
    jobs = {"enrich": enrich_job(declaration, cluster, readers(declaration, schemas), {})}
    if views:
        jobs["tile"] = tile_job(declaration, cluster, Epoch.at({}).name, {}, views, schema_id)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, job in jobs.items():
        whole = Job(job.name, job.statements, job.inserts, settings(cluster, job))
        for suffix, text in ((".sql", whole.script), (".py", _program(whole, f"{name}.py"))):
            file = folder / f"{name}{suffix}"
            file.write_text(text, encoding="utf-8")
            written.append(file)
    return written


def _program(job: Job, file: str) -> str:
    parts = {
        "settings": dict(job.settings),
        "statements": list(job.statements),
        "inserts": [insert.sql for insert in job.inserts],
    }
    return _PROGRAM.format(name=job.name, file=file, job=json.dumps(parts, ensure_ascii=False))
