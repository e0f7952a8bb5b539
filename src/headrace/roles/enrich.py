"""The enrich role: raw topics to enriched records and dead letters."""

from __future__ import annotations

from headrace.archive.manifest import cuts
from headrace.roles.context import Context
from headrace.stream.enricher import Enricher


def run(context: Context) -> None:
    begin = cuts(context.profile.open_archive(context.declaration))
    enricher = Enricher(context.declaration, context.log, context.schemas, cuts=begin)
    context.loop(enricher.step)
