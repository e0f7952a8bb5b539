"""The tile role: enriched records to tiles; a new window's history from the archive."""

from __future__ import annotations

from headrace.archive.history import history
from headrace.archive.listing import publish
from headrace.roles.context import Context
from headrace.stream.tiler import Tiler


def run(context: Context) -> None:
    archive = context.profile.open_archive(context.declaration)
    publish(context.declaration, archive, context.log, context.schemas)
    past = history(archive, context.declaration)
    tiler = Tiler(context.declaration, context.log, context.schemas, past)
    context.loop(tiler.step)
