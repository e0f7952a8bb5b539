"""The tile role: enriched records to tiles; a new window's history from the archive."""

from __future__ import annotations

from contextlib import closing

from headrace.archive.history import history
from headrace.archive.listing import publish
from headrace.roles.context import Context


def run(context: Context) -> None:
    archive = context.profile.open_archive(context.declaration)
    publish(context.declaration, archive, context.log, context.schemas)
    past = history(archive, context.declaration)
    with closing(context.profile.open_tiler(context.declaration, context.log, context.schemas, past)) as tiler:
        context.loop(tiler.step)
