"""What slices read of the archive: the columns that count, each topic once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headrace.archive.delta import Archive
from headrace.declare.declaration import Declaration, WindowFeature
from headrace.declare.row import columns_used
from headrace.declare.topics import Topics
from headrace.features.needs import Needs

_SYSTEM = ("_time", "_arrival", "_file", "_partition", "_offset")


def streams_read(declarations: Sequence[Declaration], archive: Archive, before: int) -> Mapping[str, pa.Table]:
    """Enriched records that arrived before an instant (ms), by stream title, for all windows that are needed."""
    windows: dict[str, list[WindowFeature]] = {}
    for declaration in declarations:
        for window in Needs(declaration).windows:
            windows.setdefault(window.view.stream, []).append(window)
    found = {}
    for title, own in windows.items():
        topic = Topics.of(declarations[0]).enriched(title)
        wanted = {name for window in own for name in window.view.by}
        for window in own:
            if window.view.expression is not None:
                wanted |= columns_used(window.view.expression)
        columns = [name for name in declarations[0].streams[title].enriched if name in wanted]
        found[title] = archive.read(topic, columns=[*columns, *_SYSTEM], where=pc.field("_arrival") < before)
    return found


def changes_read(declarations: Sequence[Declaration], archive: Archive) -> Mapping[str, pa.Table]:
    """Table changes by table title, in the order in which they arrived, for all tables that are needed."""
    rounds = [each for declaration in declarations for each in Needs(declaration).rounds]
    titles = dict.fromkeys(join.table.title for each in rounds for join in each.lookups)
    return {title: archive.read(Topics.of(declarations[0]).table(title)) for title in titles}
