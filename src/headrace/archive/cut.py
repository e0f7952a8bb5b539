"""A stream's cut: history counts before it, the live stream from it on. It begins once, and stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pyarrow.compute as pc
import pyarrow.dataset as ds

from headrace.archive.columns import LOG_OFFSET
from headrace.archive.delta import Archive
from headrace.archive.manifest import CUT
from headrace.declare.declaration import StreamDef
from headrace.errors import SourceError
from headrace.log.contract import Log
from headrace.stream.cuts import Cuts
from headrace.stream.enricher import ROLE as ENRICH

_POLL: Final = 0.02


def begin_cut(
    archive: Archive,
    log: Log,
    cuts: Cuts,
    topic: str,
    stream: StreamDef,
    until: int,
    catch_up: Callable[[], None],
    patience: float,
) -> None:
    """Makes `until` (ms) the cut of a stream before any of its history is counted, or sees that it is.

    No record counts twice, also beside a running enrich role, by the order of things:

    1. the cut is announced on the log;
    2. the enrich role takes it up (`stream.cuts`): from here on it refuses what lies before the cut;
    3. the archive takes all that was enriched until then;
    4. no live record before the cut is among it, else the cut is taken back and the backfill refused;
    5. the archive notes the cut, and history may enter.

    topic: the stream's enriched one. catch_up: archives what the log holds where no archive role does it; else it
    is waited for. patience: seconds to wait for each role. SourceError where a role does not come, where the live
    stream was there before, and where another cut stands. A kill on the way leaves an announced cut that no archive
    notes: the next backfill puts its own in its place.
    """
    subject = f"backfill of {stream.title}"
    noted = archive.note(topic, CUT)
    if noted is not None and noted != until:
        raise SourceError(
            subject,
            f"its cut is {noted} ms, and {until} ms was asked for",
            "use the same cut for every backfill of a stream: the live stream counts from it on",
        )
    while cuts.advance():
        pass
    if noted is None:
        _refuse_live(archive, topic, subject, until)
    if cuts.known.get(stream.title) != until:
        cuts.announce(stream.title, until)
        cuts.advance()
    if noted is not None:
        return
    try:
        if not _came(lambda: cuts.taken_up(ENRICH), patience):
            raise SourceError(
                subject, "the enrich role runs, and does not take the cut up", "look at what it says, or stop it"
            )
        catch_up()
        if not _came(lambda: _archived(archive, log, topic), patience):
            raise SourceError(
                subject,
                "the archive lacks records that were enriched already, and some may lie before the cut",
                "see that the archive role keeps up, or stop it: then the backfill archives them itself",
            )
        _refuse_live(archive, topic, subject, until)
    except BaseException:  # also an interrupt; it is raised again
        cuts.announce(stream.title, None)  # the live stream goes on as before, whatever stopped the backfill
        raise
    archive.append(topic, archive.known(topic).empty_table(), {}, None, {CUT: until})


def _came(what: Callable[[], bool], patience: float) -> bool:
    """Whether something is true within so many seconds."""
    end = time.monotonic() + patience
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True


def _archived(archive: Archive, log: Log, topic: str) -> bool:
    """Whether the archive has all that stands on a topic."""
    if topic not in {known.name for known in log.topics()}:
        return True
    reached = archive.position([topic])
    return all(reached.get((topic, at), first) >= end for at, (first, end) in enumerate(log.bounds(topic)))


def _refuse_live(archive: Archive, topic: str, subject: str, until: int) -> None:
    where = ds.field(LOG_OFFSET).is_valid() & (ds.field("_time") < until)
    live = archive.read(topic, columns=["_time"], where=where)
    if len(live):
        raise SourceError(
            subject,
            f"the live stream already brought {len(live)} records before {until} ms, the first at "
            f"{pc.min(live['_time'])} ms: they would count twice",
            "choose a cut before the live stream's first record",
        )
