"""The enrich role: raw topics to enriched records and dead letters."""

from __future__ import annotations

from headrace.roles.context import Context
from headrace.stream.enricher import Enricher


def run(context: Context) -> None:
    context.loop(Enricher(context.declaration, context.log, context.schemas).step)
