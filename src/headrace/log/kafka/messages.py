"""Between contents and Kafka's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from headrace.errors import LogError
from headrace.log.batches import FRAMES, Batch, Block, Content, Framed, Mark

ARRIVAL: Final = "headrace-arrival"
MARK: Final = "headrace-mark"
_HEADERS: Final = FRAMES.field("headers").type

Headers = list[tuple[str, bytes | None]]
Splitter = Callable[[Block], pa.Array]
"""The records of a block, each in Confluent's wire format: a binary array."""


class Message(NamedTuple):
    """One message of a partition. arrival: ms; headers: None where there is none. A mark has `mark`, ms."""

    offset: int
    key: bytes | None
    value: bytes | None
    arrival: int
    headers: Headers | None
    mark: int | None


def framed(topic: str, content: Framed | Block, split: Splitter) -> pa.RecordBatch:
    """The content's records, one a row."""
    if isinstance(content, Framed):
        if not content.records.schema.equals(FRAMES):
            cause = f"the frames have the schema {content.records.schema}"
            raise LogError(f"topic {topic}", cause, "build them as batches.FRAMES")
        return content.records
    values = split(content)
    rows = len(values)
    arrivals = pa.repeat(pa.scalar(content.arrival, pa.int64()), rows)
    columns = [pa.nulls(rows, pa.binary()), values, arrivals, pa.nulls(rows, _HEADERS)]
    return pa.RecordBatch.from_arrays(columns, schema=FRAMES)


def outgoing(content: pa.RecordBatch | Mark) -> Iterator[tuple[bytes | None, bytes | None, Headers]]:
    """Key, value and headers of each message."""
    if isinstance(content, Mark):
        yield None, None, [(MARK, b"%d" % content.time)]
        return
    columns = [content.column(name).to_pylist() for name in ("key", "value", "arrival")]
    headers = content.column("headers")
    given: Sequence[Any] = headers.to_pylist() if headers.null_count < len(headers) else [None] * len(headers)
    for key, value, arrival, pairs in zip(*columns, given, strict=True):
        yield key, value, [(ARRIVAL, b"%d" % arrival), *(pairs or ())]


def incoming(message: Any) -> Message:
    """What confluent_kafka gives, without Headrace's own headers."""
    headers: Headers = message.headers() or []
    value = message.value()
    arrival = mark = None
    others: Headers = []
    for pair in headers:
        name, found = pair
        if name == ARRIVAL and arrival is None:
            arrival = _number(found)
        elif name == MARK and value is None:
            mark = _number(found)
        else:
            others.append(pair)
    if arrival is None:
        arrival = message.timestamp()[1]
    return Message(message.offset(), message.key(), value, arrival, others or None, mark)


def batches(topic: str, partition: int, messages: Sequence[Message], begin: int, end: int) -> list[Batch]:
    """The messages as batches that cover all offsets from the first one's to `end`; only a gap is one batch."""
    if not messages:
        empty = Framed(pa.RecordBatch.from_pylist([], FRAMES))
        return [Batch(topic, partition, begin, empty, end - begin)] if end > begin else []
    found = []
    first = 0
    for place, message in enumerate(messages):
        following = messages[place + 1] if place + 1 < len(messages) else None
        after = end if following is None else following.offset
        gap = after - message.offset - 1
        alone = following is None or message.mark is not None or following.mark is not None
        if alone or gap:
            content = _content(messages[first : place + 1])
            found.append(Batch(topic, partition, messages[first].offset, content, gap))
            first = place + 1
    return found


def _content(messages: Sequence[Message]) -> Content:
    if messages[0].mark is not None:
        return Mark(messages[0].mark)
    _, keys, values, arrivals, headers, _ = zip(*messages, strict=True)
    columns = [
        pa.array(keys, pa.binary()),
        pa.array(values, pa.binary()),
        pa.array(arrivals, pa.int64()),
        pa.array(headers, _HEADERS) if any(headers) else pa.nulls(len(messages), _HEADERS),
    ]
    return Framed(pa.RecordBatch.from_arrays(columns, schema=FRAMES))


def _number(text: bytes | None) -> int | None:
    """None where an outsider's header is no number."""
    return int(text) if text and text.isdigit() else None
