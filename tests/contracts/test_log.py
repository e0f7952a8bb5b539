"""What every adapter of the log keeps."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import LogError, OffsetOutOfRange
from headrace.log.batches import Batch, Block, Content, Framed, Mark, Record
from headrace.log.contract import Commit, Log, Topic
from headrace.log.sqlite import SqliteLog


@dataclass(frozen=True)
class Adapter:
    """open: this process's view of one log. code: Python that makes another process's view, named `log`."""

    open: Callable[[], Log]
    code: str


@pytest.fixture(params=["sqlite"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    folder = tmp_path / "log"
    imports = "from pathlib import Path; from headrace.log.sqlite import SqliteLog"
    code = f"{imports}; log = SqliteLog(Path({str(folder)!r}))"
    return Adapter(lambda: SqliteLog(folder), code)


@pytest.fixture
def log(adapter: Adapter) -> Iterator[Log]:
    log = adapter.open()
    yield log
    log.close()


def framed(*values: bytes | None, arrival: int = 5) -> Framed:
    return Framed.of([Record(b"k", value, {"h": b"1"}) for value in values], arrival)


def block(count: int, arrival: int = 5) -> Block:
    return Block(3, count, b"x" * count, arrival)


def append(log: Log, role: str, topic: str, *contents: Content) -> list[int]:
    writer = log.writer(role)
    try:
        with writer.transaction() as transaction:
            return [transaction.append(topic, 0, content) for content in contents]
    finally:
        writer.close()


def others(adapter: Adapter, body: str) -> subprocess.Popen[str]:
    script = f"{adapter.code}\nfrom headrace.log.batches import Block\n{body}"
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_content_comes_back_as_it_was(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    contents = [framed(b"a", None, b""), block(4), Mark(17), framed(b"b")]
    assert append(log, "r", "t", *contents) == [0, 3, 7, 8]
    assert log.read("t", 0, 0, 100) == [
        Batch("t", 0, offset, content) for offset, content in zip((0, 3, 7, 8), contents, strict=True)
    ]
    assert log.bounds("t") == [(0, 9)]


def test_reading_begins_with_the_batch_that_holds_the_offset(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    append(log, "r", "t", block(3), block(3), block(3))
    assert [batch.offset for batch in log.read("t", 0, 4, 100)] == [3, 6]
    assert [batch.offset for batch in log.read("t", 0, 3, 100)] == [3, 6]
    assert log.read("t", 0, 9, 100) == []


def test_reading_stops_at_the_limit(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    append(log, "r", "t", block(3), block(3), block(3))
    assert [batch.offset for batch in log.read("t", 0, 0, 3)] == [0]
    assert [batch.offset for batch in log.read("t", 0, 0, 4)] == [0, 3]
    assert [batch.offset for batch in log.read("t", 0, 1, 3)] == [0, 3]


def test_nothing_appended_is_no_batch(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    assert append(log, "r", "t", framed(), block(1)) == [0, 0]
    assert [batch.count for batch in log.read("t", 0, 0, 9)] == [1]


def test_a_failed_transaction_leaves_nothing(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    writer = log.writer("r")

    def fail() -> None:
        with writer.transaction() as transaction:
            transaction.append("t", 0, block(2))
            transaction.commit({("s", 0): 5}, mark=9)
            transaction.keep("state", b"1")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert log.bounds("t") == [(0, 0)]
    assert log.committed("r") == Commit({}, None)
    assert writer.kept("state") is None
    with writer.transaction() as transaction:
        assert transaction.append("t", 0, block(2)) == 0
    writer.close()


def test_positions_and_what_is_kept_come_with_the_batches(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.append("t", 0, block(2))
        transaction.commit({("s", 0): 5, ("s", 1): 6}, mark=9)
        transaction.keep("state", b"1")
        assert log.bounds("t") == [(0, 0)]
    assert log.bounds("t") == [(0, 2)]
    assert log.committed("r") == Commit({("s", 0): 5, ("s", 1): 6}, 9)
    assert writer.kept("state") == b"1"
    with writer.transaction() as transaction:
        transaction.commit({("s", 1): 7})
        transaction.keep("state", None)
    assert log.committed("r") == Commit({("s", 0): 5, ("s", 1): 7}, 9)
    assert writer.kept("state") is None
    writer.close()


def test_a_writer_remembers_across_restarts(log: Log, adapter: Adapter) -> None:
    log.create(Topic("t", "r", 1))
    append(log, "r", "t", block(2))
    again = adapter.open()
    assert append(again, "r", "t", block(2)) == [2]
    assert log.bounds("t") == [(0, 4)]
    again.close()


def test_a_group_that_never_committed(log: Log) -> None:
    assert log.committed("nobody") == Commit({}, None)
    log.create(Topic("t", "r", 1))
    assert log.committed("r") == Commit({}, None)


def test_creating_twice_is_once(log: Log, adapter: Adapter) -> None:
    topic = Topic("t", "r", 2, retention=10)
    log.create(topic)
    other = adapter.open()
    other.create(topic)
    assert other.topics() == log.topics() == [topic]
    assert log.topic("t") == topic
    for different in (Topic("t", "q", 2), Topic("t", "r", 3)):
        with pytest.raises(LogError, match="topic t"):
            other.create(different)
    other.close()


def test_refusals_name_their_object(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    with pytest.raises(LogError, match="topic u"):
        log.topic("u")
    with pytest.raises(LogError, match="topic u"):
        log.read("u", 0, 0, 1)
    with pytest.raises(LogError, match="no partition 1"):
        log.read("t", 1, 0, 1)
    with pytest.raises(LogError, match="partition"):
        log.create(Topic("none", "r", 0))
    writer = log.writer("r")
    with pytest.raises(LogError, match="no partition 1"), writer.transaction() as transaction:
        transaction.append("t", 1, block(1))
    writer.close()


def test_only_the_owner_appends(log: Log) -> None:
    log.create(Topic("t", "r", 1))
    with pytest.raises(LogError, match="'r'"):
        append(log, "q", "t", block(1))
    assert log.bounds("t") == [(0, 0)]


def test_a_second_writer_is_refused_until_the_first_closes(log: Log, adapter: Adapter) -> None:
    writer, other = log.writer("r"), adapter.open()
    with pytest.raises(LogError, match=str(os.getpid())):
        other.writer("r")
    log.writer("q").close()
    writer.close()
    other.writer("r").close()
    other.close()


def test_a_second_process_is_refused_until_the_first_is_killed(log: Log, adapter: Adapter) -> None:
    with others(adapter, "w = log.writer('r'); print('mine', flush=True); import time; time.sleep(100)") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(LogError, match=f"process {holder.pid}"):
            log.writer("r")
        holder.kill()
    log.writer("r").close()


def test_retention_drops_the_oldest(log: Log) -> None:
    log.create(Topic("t", "r", 2, retention=100))
    log.create(Topic("ever", "r", 1))
    append(log, "r", "t", block(2, 10), framed(b"a", arrival=20), block(2, 60), block(1, 15))
    append(log, "r", "ever", block(2, 10))
    assert log.expire(now=110) == 0
    assert log.expire(now=121) == 3
    assert log.bounds("t") == [(3, 6), (0, 0)]
    assert [batch.offset for batch in log.read("t", 0, 3, 100)] == [3, 5]
    with pytest.raises(OffsetOutOfRange, match="topic t, partition 0"):
        log.read("t", 0, 2, 100)
    assert log.expire(now=1000) == 3
    assert log.bounds("t") == [(6, 6), (0, 0)]
    assert log.read("t", 0, 6, 100) == []
    with pytest.raises(OffsetOutOfRange):
        log.read("t", 0, 5, 100)
    assert append(log, "r", "t", block(1, 1000)) == [6]
    assert log.bounds("ever") == [(0, 2)]


def test_retention_while_the_owner_writes(log: Log, adapter: Adapter) -> None:
    log.create(Topic("t", "r", 1, retention=0))
    writer, other = log.writer("r"), adapter.open()
    with writer.transaction() as transaction:
        transaction.append("t", 0, block(2, 10))
    assert other.expire(now=11) == 2
    with writer.transaction() as transaction:
        assert transaction.append("t", 0, block(2, 20)) == 2
    assert log.bounds("t") == [(2, 4)]
    writer.close()
    other.close()


_WRITE_FOR_EVER = """
writer = log.writer("r")
done = int(writer.kept("done") or b"0")
while True:
    with writer.transaction() as transaction:
        transaction.append("a", 0, Block(1, 3, b"abc" * 20_000, 5))
        transaction.append("b", done % 2, Block(1, 1, b"x", 5))
        transaction.commit({("source", 0): done + 1})
        transaction.keep("done", str(done + 1).encode())
    done += 1
    print(done, flush=True)
"""


def test_readers_in_another_process_see_whole_transactions_only(log: Log, adapter: Adapter) -> None:
    log.create(Topic("a", "r", 1))
    log.create(Topic("b", "r", 2))
    with others(adapter, _WRITE_FOR_EVER) as writer:
        assert writer.stdout is not None
        offset = seen = 0
        while seen < 60:
            acknowledged = int(writer.stdout.readline())
            before = sum(end for _, end in log.bounds("b"))
            batches = log.read("a", 0, offset, 1_000_000)
            after = sum(end for _, end in log.bounds("b"))
            for batch in batches:
                assert batch.offset == offset
                offset = batch.end
                seen += 1
            assert acknowledged <= seen
            assert before <= seen <= after
            assert log.committed("r").positions["source", 0] >= seen
        writer.kill()


def test_kill_9_leaves_whole_transactions(log: Log, adapter: Adapter) -> None:
    log.create(Topic("a", "r", 1))
    log.create(Topic("b", "r", 2))
    pick = random.Random(1)
    for _ in range(6):
        with others(adapter, _WRITE_FOR_EVER) as writer:
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
        assert log.committed("r").positions == {("source", 0): done}
        assert log.bounds("a") == [(0, 3 * done)]
        assert log.bounds("b") == [(0, (done + 1) // 2), (0, done // 2)]
        assert sum(batch.count for batch in log.read("a", 0, 0, 10**9)) == 3 * done


_CONTENTS = st.one_of(
    st.lists(st.tuples(st.none() | st.binary(max_size=4), st.none() | st.binary(max_size=9)), max_size=5).map(
        lambda rows: Framed.of([Record(key, value) for key, value in rows], 1)
    ),
    st.binary(max_size=20).map(lambda body: Block(1, len(body), body, 2)),
    st.integers(0, 2**62).map(Mark),
)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_any_transactions_read_back_dense_from_any_offset(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    log = SqliteLog(tmp_path_factory.mktemp("log"))
    log.create(Topic("t", "r", 2))
    wanted: dict[int, list[Batch]] = {0: [], 1: []}
    writer = log.writer("r")
    for appends in data.draw(st.lists(st.lists(st.tuples(st.integers(0, 1), _CONTENTS), max_size=4), max_size=4)):
        with writer.transaction() as transaction:
            for partition, content in appends:
                offset = transaction.append("t", partition, content)
                if content.count:
                    wanted[partition].append(Batch("t", partition, offset, content))
    writer.close()
    for partition, batches in wanted.items():
        end = batches[-1].end if batches else 0
        assert log.bounds("t")[partition] == (0, end)
        offset = data.draw(st.integers(0, end))
        assert log.read("t", partition, offset, 10**9) == [batch for batch in batches if batch.end > offset]
    log.close()
