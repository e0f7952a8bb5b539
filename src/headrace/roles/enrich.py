"""The enrich role: raw topics to enriched records and dead letters."""

from __future__ import annotations

from contextlib import closing

from headrace.roles.context import Context


def run(context: Context) -> None:
    with closing(context.profile.open_enricher(context.declaration, context.log, context.schemas)) as enricher:
        context.loop(enricher.step)
