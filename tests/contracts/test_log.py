"""What every adapter of the log keeps.

Offsets may have gaps: what is compared is the records, each by itself, and their order. (What the log on SQLite
keeps beyond that is in tests/log/test_sqlite_log.py.)
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import LogError, OffsetOutOfRange, WriterTaken
from headrace.log.batches import Block, Content, Framed, Mark, Record
from headrace.log.contract import Commit, Log, Topic
from headrace.log.kafka import KafkaLog
from headrace.log.sqlite import SqliteLog
from headrace.schema.contract import AvroSchema
from headrace.schema.encoding import frame
from headrace.schema.splitting import Splitter


@dataclass(frozen=True)
class Adapter:
    """open: this process's view of one log. code: Python that makes another process's view, named `log`."""

    open: Callable[[], Log]
    code: str


class OneLong:
    """The schema of every id: a record of one long, so that each byte below 128 is a record."""

    def by_id(self, schema_id: int) -> AvroSchema:
        return {"type": "record", "name": "One", "fields": [{"name": "n", "type": "long"}]}


_SQLITE = "from pathlib import Path; from headrace.log.sqlite import SqliteLog; log = SqliteLog(Path({folder!r}))"
_KAFKA = """
from headrace.log.kafka import KafkaLog
log = KafkaLog({servers!r}, split=None, namespace={namespace!r})
"""


@pytest.fixture(params=["sqlite", "kafka"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    folder = tmp_path / "log"
    if request.param == "sqlite":
        return Adapter(lambda: SqliteLog(folder), _SQLITE.format(folder=str(folder)))
    servers, namespace = request.getfixturevalue("kafka_servers"), f"test-{uuid4().hex[:12]}"
    split = Splitter(OneLong())
    return Adapter(
        lambda: KafkaLog(servers, split, namespace=namespace), _KAFKA.format(servers=servers, namespace=namespace)
    )


@pytest.fixture
def log(adapter: Adapter) -> Iterator[Log]:
    log = adapter.open()
    yield log
    log.close()


@pytest.fixture
def name() -> Callable[[str], str]:
    """A name of a topic that no other test has."""
    unique = uuid4().hex[:12]
    return lambda short: f"{short}-{unique}"


class Row(NamedTuple):
    """One record, or a mark."""

    key: bytes | None
    value: bytes | None
    arrival: int
    headers: tuple[tuple[str, bytes], ...] = ()
    mark: bool = False


def rows(content: Content) -> list[Row]:
    match content:
        case Mark(time):
            return [Row(None, None, time, mark=True)]
        case Block(schema_id, _, body, arrival):
            return [Row(None, frame(schema_id, bytes([byte])), arrival) for byte in body]
        case Framed(records):
            columns = (records.column(name).to_pylist() for name in ("key", "value", "arrival", "headers"))
            return [Row(k, v, a, tuple(h or ())) for k, v, a, h in zip(*columns, strict=True)]


def read(log: Log, topic: str, offset: int = 0, limit: int = 10**9, partition: int = 0) -> list[tuple[int, Row]]:
    """The records from an offset on, each at its place; also sees that offsets increase and gaps are covered."""
    found, at = [], -1
    for batch in log.read(topic, partition, offset, limit):
        assert (batch.topic, batch.partition) == (topic, partition)
        assert batch.offset > at or at == -1
        assert batch.end >= batch.offset + batch.count
        found += [(batch.offset + place, row) for place, row in enumerate(rows(batch.content))]
        at = batch.end - 1
    return [place for place in found if place[0] >= offset]


def everything(log: Log, topic: str, partition: int = 0) -> list[Row]:
    """All records of a partition, read in steps; the last step comes to the partition's end."""
    first, end = log.bounds(topic)[partition]
    found, at = [], first
    while batches := log.read(topic, partition, at, 1_000):
        found += [row for batch in batches for row in rows(batch.content)]
        at = batches[-1].end
    assert at == end
    return found


def framed(*values: bytes | None, arrival: int = 5) -> Framed:
    return Framed.of([Record(b"k", value, {"h": b"1"}) for value in values], arrival)


def block(count: int, arrival: int = 5) -> Block:
    return Block(3, count, b"x" * count, arrival)


def wanted(*contents: Content) -> list[Row]:
    return [row for content in contents for row in rows(content)]


def append(log: Log, role: str, topic: str, *contents: Content) -> None:
    writer = log.writer(role)
    try:
        with writer.transaction() as transaction:
            for content in contents:
                transaction.append(topic, 0, content)
    finally:
        writer.close()


def others(adapter: Adapter, body: str) -> subprocess.Popen[str]:
    script = f"{adapter.code}\nfrom headrace.log.batches import Framed, Record\n{body}"
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


Name = Callable[[str], str]


def test_content_comes_back_as_it_was(log: Log, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    contents = [framed(b"a", None, b""), block(4), Mark(17), framed(b"b")]
    append(log, "r", name("t"), *contents)
    assert [row for _, row in read(log, name("t"))] == wanted(*contents)
    assert [offset for offset, _ in read(log, name("t"))] == list(range(9))
    ((first, end),) = log.bounds(name("t"))
    assert (first, log.read(name("t"), 0, 0, 100)[-1].end) == (0, end)
    assert log.read(name("t"), 0, end, 100) == []


def test_reading_begins_with_the_batch_that_holds_the_offset(log: Log, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    append(log, "r", name("t"), block(3), block(3), block(3))
    for offset in (4, 3, 8, 0, 1):
        batches = log.read(name("t"), 0, offset, 100)
        assert batches[0].offset <= offset < batches[0].end
        assert [place for place, _ in read(log, name("t"), offset)] == list(range(offset, 9))


def test_reading_stops_at_the_limit(log: Log, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    append(log, "r", name("t"), block(3), block(3), block(3))
    for offset, limit, most in ((0, 3, 3), (0, 4, 6), (1, 3, 6)):
        places = [place for place, _ in read(log, name("t"), offset, limit)]
        assert places == list(range(offset, offset + len(places)))
        assert limit <= len(places) <= most


def test_nothing_appended_is_no_record(log: Log, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    append(log, "r", name("t"), framed())
    assert everything(log, name("t")) == []
    append(log, "r", name("t"), framed(), block(1))
    assert everything(log, name("t")) == wanted(block(1))


def test_a_failed_transaction_leaves_nothing(log: Log, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    log.create(Topic(name("s"), "r", 1))
    writer = log.writer("r")

    def fail() -> None:
        with writer.transaction() as transaction:
            transaction.append(name("t"), 0, block(2))
            transaction.commit({(name("s"), 0): 5}, mark=9)
            transaction.keep("state", b"1")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert everything(log, name("t")) == []
    assert log.committed("r") == Commit({}, None)
    assert writer.kept("state") is None
    with writer.transaction() as transaction:
        transaction.append(name("t"), 0, block(2))
    assert everything(log, name("t")) == wanted(block(2))
    writer.close()


def test_positions_and_what_is_kept_come_with_the_batches(log: Log, name: Name) -> None:
    source = name("s")
    log.create(Topic(name("t"), "r", 1))
    log.create(Topic(source, "r", 2))
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.append(name("t"), 0, block(2))
        transaction.commit({(source, 0): 5, (source, 1): 6}, mark=9)
        transaction.keep("state", b"1")
        assert log.bounds(name("t")) == [(0, 0)]
        assert log.read(name("t"), 0, 0, 100) == []
    assert everything(log, name("t")) == wanted(block(2))
    assert log.committed("r") == Commit({(source, 0): 5, (source, 1): 6}, 9)
    assert writer.kept("state") == b"1"
    with writer.transaction() as transaction:
        transaction.commit({(source, 1): 7})
        transaction.keep("state", None)
    assert log.committed("r") == Commit({(source, 0): 5, (source, 1): 7}, 9)
    assert writer.kept("state") is None
    with writer.transaction() as transaction:
        transaction.commit({}, mark=12)
    assert log.committed("r") == Commit({(source, 0): 5, (source, 1): 7}, 12)
    writer.close()


def test_a_mark_without_positions(log: Log) -> None:
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.commit({}, mark=12)
    assert log.committed("r") == Commit({}, 12)
    writer.close()


def test_a_writer_remembers_across_restarts(log: Log, adapter: Adapter, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.append(name("t"), 0, block(2))
        transaction.commit({(name("t"), 0): 1}, mark=4)
        transaction.keep("state", b"1")
        transaction.keep("other", b"2")
    with writer.transaction() as transaction:
        transaction.keep("other", None)
    writer.close()
    again = adapter.open()
    writer = again.writer("r")
    assert (writer.kept("state"), writer.kept("other")) == (b"1", None)
    with writer.transaction() as transaction:
        transaction.append(name("t"), 0, block(2))
        transaction.commit({(name("t"), 0): 2})
    writer.close()
    assert everything(log, name("t")) == wanted(block(4))
    assert log.committed("r") == again.committed("r") == Commit({(name("t"), 0): 2}, 4)
    again.close()


def test_a_group_that_never_committed(log: Log, name: Name) -> None:
    assert log.committed("nobody") == Commit({}, None)
    log.create(Topic(name("t"), "r", 1))
    assert log.committed("r") == Commit({}, None)


def test_creating_twice_is_once(log: Log, adapter: Adapter, name: Name) -> None:
    topic = Topic(name("t"), "r", 2, retention=10)
    log.create(topic)
    other = adapter.open()
    other.create(topic)
    for view in (log, other):
        assert [known for known in view.topics() if known.name == topic.name] == [topic]
        assert view.topic(topic.name) == topic
    for different in (Topic(name("t"), "q", 2), Topic(name("t"), "r", 3)):
        with pytest.raises(LogError, match=f"topic {topic.name}"):
            other.create(different)
    other.close()


def test_refusals_name_their_object(log: Log, name: Name) -> None:
    topic, unknown = name("t"), name("u")
    log.create(Topic(topic, "r", 1))
    with pytest.raises(LogError, match=f"topic {unknown}"):
        log.topic(unknown)
    with pytest.raises(LogError, match=f"topic {unknown}"):
        log.read(unknown, 0, 0, 1)
    with pytest.raises(LogError, match="no partition 1"):
        log.read(topic, 1, 0, 1)
    with pytest.raises(LogError, match="partition"):
        log.create(Topic(name("none"), "r", 0))
    writer = log.writer("r")
    with pytest.raises(LogError, match="no partition 1"), writer.transaction() as transaction:
        transaction.append(topic, 1, block(1))
    writer.close()


def test_only_the_owner_appends(log: Log, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    with pytest.raises(LogError, match="'r'"):
        append(log, "q", name("t"), block(1))
    assert everything(log, name("t")) == []


def test_a_second_writer_is_refused_until_the_first_closes(log: Log, adapter: Adapter) -> None:
    writer, other = log.writer("r"), adapter.open()
    with pytest.raises(WriterTaken, match=str(os.getpid())):
        other.writer("r")
    log.writer("q").close()
    writer.close()
    writer.close()
    other.writer("r").close()
    other.close()


def test_a_second_process_is_refused_until_the_first_is_killed(log: Log, adapter: Adapter) -> None:
    with others(adapter, "w = log.writer('r'); print('mine', flush=True); import time; time.sleep(100)") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(WriterTaken, match=f"process {holder.pid}"):
            log.writer("r")
        holder.kill()
    log.writer("r").close()


def test_turns_of_two_processes(log: Log, adapter: Adapter, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    other = adapter.open()
    for view, number in ((log, 0), (other, 1), (log, 2), (other, 3)):
        with view.turn("r") as writer:
            before = [writer.kept(str(earlier)) for earlier in range(number)]
            assert before == [b"1"] * number
            with writer.transaction() as transaction:
                transaction.append(name("t"), 0, block(number + 1))
                transaction.keep(str(number), b"1")
        assert len(everything(other, name("t"))) == len(everything(log, name("t"))) == sum(range(number + 2))
    other.close()


_IN_TURN = """
for _ in range(10):
    with log.turn("r") as writer, writer.transaction() as transaction:
        transaction.append({topic!r}, 0, Framed.of([Record(None, b"a"), Record(None, b"b")], 5))
"""


def test_many_processes_take_turns(log: Log, adapter: Adapter, name: Name) -> None:
    log.create(Topic(name("t"), "r", 1))
    running = [others(adapter, _IN_TURN.format(topic=name("t"))) for _ in range(3)]
    for process in running:
        with process:
            assert process.wait() == 0
    assert sorted(row.value or b"" for row in everything(log, name("t"))) == [b"a"] * 30 + [b"b"] * 30


def test_retention_drops_the_oldest(log: Log, name: Name) -> None:
    topic = name("t")
    log.create(Topic(topic, "r", 2, retention=100))
    log.create(Topic(name("ever"), "r", 1))
    append(log, "r", topic, block(2, 10), framed(b"a", arrival=20), block(2, 60), block(1, 15))
    append(log, "r", name("ever"), block(2, 10))
    assert log.expire(now=110) == 0
    assert log.expire(now=121) == 3
    assert [first for first, _ in log.bounds(topic)] == [3, 0]
    assert everything(log, topic) == wanted(block(2, 60), block(1, 15))
    with pytest.raises(OffsetOutOfRange, match=f"topic {topic}, partition 0"):
        log.read(topic, 0, 2, 100)
    assert log.expire(now=1000) >= 3
    ((first, end), other) = log.bounds(topic)
    assert first == end >= 6
    assert other == (0, 0)
    assert log.read(topic, 0, end, 100) == []
    with pytest.raises(OffsetOutOfRange):
        log.read(topic, 0, 5, 100)
    append(log, "r", topic, block(1, 1000))
    assert everything(log, topic) == wanted(block(1, 1000))
    assert everything(log, name("ever")) == wanted(block(2, 10))


def test_retention_while_the_owner_writes(log: Log, adapter: Adapter, name: Name) -> None:
    topic = name("t")
    log.create(Topic(topic, "r", 1, retention=0))
    writer, other = log.writer("r"), adapter.open()
    with writer.transaction() as transaction:
        transaction.append(topic, 0, block(2, 10))
    assert other.expire(now=11) >= 2
    with writer.transaction() as transaction:
        transaction.append(topic, 0, block(2, 20))
    assert everything(log, topic) == wanted(block(2, 20))
    writer.close()
    other.close()


_WRITE_FOR_EVER = """
writer = log.writer("r")
done = int(writer.kept("done") or b"0")
while True:
    with writer.transaction() as transaction:
        transaction.append({a!r}, 0, Framed.of([Record(None, b"%d" % done + b"a" * 20_000)] * 3, 5))
        transaction.append({b!r}, done % 2, Framed.of([Record(None, b"%d" % done)], 5))
        transaction.commit({{({source!r}, 0): done + 1}})
        transaction.keep("done", str(done + 1).encode())
    done += 1
    print(done, flush=True)
"""


def write_for_ever(adapter: Adapter, name: Name) -> subprocess.Popen[str]:
    return others(adapter, _WRITE_FOR_EVER.format(a=name("a"), b=name("b"), source=name("source")))


def create_three(log: Log, name: Name) -> None:
    log.create(Topic(name("a"), "r", 1))
    log.create(Topic(name("b"), "r", 2))
    log.create(Topic(name("source"), "r", 1))


def numbers(found: Sequence[Row]) -> list[int]:
    return [int((row.value or b"").rstrip(b"a")) for row in found]


def test_readers_in_another_process_see_whole_transactions_only(log: Log, adapter: Adapter, name: Name) -> None:
    create_three(log, name)
    with write_for_ever(adapter, name) as writer:
        assert writer.stdout is not None
        seen: list[int] = []
        offset = 0
        while len(seen) < 3 * 40:
            acknowledged = int(writer.stdout.readline())
            batches = log.read(name("a"), 0, offset, 1_000_000)
            seen += numbers([row for batch in batches for row in rows(batch.content)])
            offset = batches[-1].end if batches else offset
            assert seen == [number for number in range(len(seen) // 3) for _ in range(3)]
            assert 3 * acknowledged <= len(seen)
            assert log.committed("r").positions[name("source"), 0] >= acknowledged
            assert sum(len(read(log, name("b"), partition=place)) for place in range(2)) >= acknowledged
        writer.kill()


def test_kill_9_leaves_whole_transactions(log: Log, adapter: Adapter, name: Name) -> None:
    create_three(log, name)
    pick = random.Random(1)
    for _ in range(6):
        with write_for_ever(adapter, name) as writer:
            assert writer.stdout is not None
            for _ in range(pick.randint(1, 20)):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        held = log.writer("r")
        kept = held.kept("done")
        held.close()
        assert kept is not None
        done = int(kept)
        assert done >= acknowledged
        assert log.committed("r").positions == {(name("source"), 0): done}
        assert numbers(everything(log, name("a"))) == [number for number in range(done) for _ in range(3)]
        assert numbers(everything(log, name("b"), 0)) == list(range(0, done, 2))
        assert numbers(everything(log, name("b"), 1)) == list(range(1, done, 2))


_CONTENTS = st.one_of(
    st.lists(st.tuples(st.none() | st.binary(max_size=4), st.none() | st.binary(max_size=9)), max_size=5).map(
        lambda rows: Framed.of([Record(key, value) for key, value in rows], 1)
    ),
    st.lists(st.integers(0, 127), max_size=20).map(lambda body: Block(1, len(body), bytes(body), 2)),
    st.integers(0, 2**62).map(Mark),
)


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_transactions_read_back_from_any_offset(log: Log, data: st.DataObject) -> None:
    appends = st.lists(st.tuples(st.integers(0, 1), _CONTENTS), max_size=4)
    transactions = data.draw(st.lists(appends, max_size=4))
    shares = data.draw(st.tuples(st.integers(0, 100), st.integers(0, 100)))
    topic = f"t-{uuid4().hex[:12]}"
    log.create(Topic(topic, "r", 2))
    appended: dict[int, list[Row]] = {0: [], 1: []}
    writer = log.writer("r")
    for contents in transactions:
        with writer.transaction() as transaction:
            for partition, content in contents:
                transaction.append(topic, partition, content)
                appended[partition] += rows(content)
    writer.close()
    for partition, expected in appended.items():
        assert everything(log, topic, partition) == expected
        found = read(log, topic, 0, partition=partition)
        assert [row for _, row in found] == expected
        first, end = log.bounds(topic)[partition]
        offset = first + (end - first) * shares[partition] // 100
        assert read(log, topic, offset, partition=partition) == [at for at in found if at[0] >= offset]
