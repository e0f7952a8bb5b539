"""A role's right to write: a transactional producer, and a lease that names who holds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from headrace.errors import LogError, WriterTaken
from headrace.log.batches import Content, Mark, Partition, Positions
from headrace.log.kafka.client import KafkaError, KafkaException, Producer, TopicPartition
from headrace.log.kafka.cluster import PATIENCE
from headrace.log.kafka.leases import Holder
from headrace.log.kafka.messages import framed, outgoing
from headrace.log.kafka.state import as_json

if TYPE_CHECKING:
    from headrace.log.kafka.log import KafkaLog

_RETRYING: Final = 120.0
"""Seconds in which a transaction is tried again, so that a broker's death and an election go by unseen."""
_FENCED: Final = frozenset(
    (
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    )
)


class KafkaTransaction:
    """What will be written when the `with` block ends; nothing is written before."""

    def __init__(self, writer: KafkaWriter) -> None:
        self._writer = writer
        self.contents: list[tuple[Partition, pa.RecordBatch | Mark]] = []
        self.positions: dict[Partition, int] = {}
        self.mark: int | None = None
        self.kept: dict[str, bytes | None] = {}

    def append(self, topic: str, partition: int, content: Content) -> None:
        log = self._writer.log
        known = log.topic(topic)
        if known.owner != self._writer.role:
            raise LogError(
                f"topic {topic}",
                f"it is {known.owner!r} that writes it, not {self._writer.role!r}",
                f"append from the role {known.owner!r}",
            )
        if not 0 <= partition < known.partitions:
            raise LogError(f"topic {topic}", f"it has no partition {partition}", "append to one that it has")
        records = content if isinstance(content, Mark) else framed(topic, content, log.split)
        if content.count:
            self.contents.append(((topic, partition), records))

    def commit(self, positions: Positions, mark: int | None = None) -> None:
        self.positions.update(positions)
        self.mark = self.mark if mark is None else mark

    def keep(self, name: str, value: bytes | None) -> None:
        self.kept[name] = value

    @property
    def empty(self) -> bool:
        return not (self.contents or self.positions or self.kept or self.mark is not None)


class KafkaWriter:
    """A role's writer, until it is closed, its process dies, or another one takes its place (it is fenced).

    transactional_id: of which Kafka knows one producer at a time. exclusive: whether the role has one writer, named
    by a lease; those of a shared role know of each other through what they keep.
    """

    def __init__(self, log: KafkaLog, role: str, transactional_id: str) -> None:
        self.log = log
        self.role = role
        self._id = transactional_id
        self._closed = False
        self._taken = False
        self._producer = self._open()
        consumer = log.cluster.consumer(log.group(role))
        self._group = consumer.consumer_group_metadata()
        consumer.close()
        self._values = log.state.settled()
        self._mark = log.committed(role).mark
        self._known = self._committed()

    @contextmanager
    def transaction(self) -> Iterator[KafkaTransaction]:
        self._check()
        transaction = KafkaTransaction(self)
        yield transaction
        if transaction.empty:
            return
        mark = self._mark if transaction.mark is None else transaction.mark
        kept = {self._name(name): value for name, value in transaction.kept.items()}
        offsets = self._offsets(transaction, mark)
        self._write(transaction.contents, kept, offsets)
        self._mark = mark
        for name, value in kept.items():
            self._values[name] = value  # type: ignore[assignment]

    def kept(self, name: str) -> bytes | None:
        self._check()
        return self._values.get(self._name(name))

    def refresh(self) -> None:
        """Learns what other writers of a shared role kept meanwhile."""
        self._values = self.log.state.settled()

    def close(self) -> None:
        self._closed = True

    def _name(self, name: str) -> str:
        return f"kept/{self.role}/{name}"

    def _check(self) -> None:
        if self._closed:
            raise LogError(f"role {self.role}", "its writer is closed", "open another one")
        if self._taken:
            raise self._fenced()

    def _fenced(self) -> WriterTaken:
        self._taken = True
        holder = self.log.holder(self.role)
        return WriterTaken(
            f"role {self.role}",
            f"another process has become its writer ({holder or 'it is not known which'})",
            "stop this process, or the other one",
        )

    def _open(self) -> Producer:
        producer = self.log.cluster.producer(transactional_id=self._id)
        with self._explained():
            self._again(lambda: producer.init_transactions(PATIENCE))
        return producer

    def _offsets(self, transaction: KafkaTransaction, mark: int | None) -> list[TopicPartition]:
        """The group's offsets; a mark without positions stands at the state topic, where nothing else is read."""
        positions = dict(transaction.positions)
        if transaction.mark is not None and not positions:
            positions[self.log.state.topic, 0] = 0
        text = "" if mark is None else str(mark)
        return [TopicPartition(*place, offset, text) for place, offset in positions.items()]

    def _write(
        self,
        contents: list[tuple[Partition, pa.RecordBatch | Mark]],
        kept: Mapping[str, bytes | None],
        offsets: list[TopicPartition],
    ) -> None:
        """One transaction, again and again until it is committed; visible to every reader when this returns."""
        until = time.monotonic() + _RETRYING
        with self._explained():
            while True:
                ends: dict[Partition, int] = {}
                try:
                    self._producer.begin_transaction()
                    self._produce(contents, kept, ends)
                    if offsets:
                        self._again(
                            lambda: self._producer.send_offsets_to_transaction(offsets, self._group, PATIENCE)
                        )
                    self._again(lambda: self._producer.commit_transaction(PATIENCE))
                    break
                except KafkaException as error:
                    if not error.args[0].txn_requires_abort() or time.monotonic() > until:
                        raise
                    self._again(lambda: self._producer.abort_transaction(PATIENCE))
                except BaseException:  # whatever went wrong: all or nothing
                    self._again(lambda: self._producer.abort_transaction(PATIENCE))
                    raise
        self._await(ends)
        self._await_first({(place.topic, place.partition) for place in offsets})

    def _produce(
        self,
        contents: list[tuple[Partition, pa.RecordBatch | Mark]],
        kept: Mapping[str, bytes | None],
        ends: dict[Partition, int],
    ) -> None:
        """ends: learns the offset behind the last record of each partition when it is delivered."""

        def delivered(error: KafkaError | None, message: Any) -> None:
            if error is None:
                place = message.topic(), message.partition()
                ends[place] = max(ends.get(place, 0), message.offset() + 1)

        for place, content in contents:
            topic, partition = place
            left = 1 if isinstance(content, Mark) else content.num_rows
            for key, value, headers in outgoing(content):
                left -= 1
                done = None if left else delivered
                self._send(topic, value=value, key=key, partition=partition, headers=headers, on_delivery=done)
            self._producer.poll(0)
        for name, value in kept.items():
            self._send(self.log.state.topic, value=value, key=name.encode(), partition=0)

    def _send(self, topic: str, *, on_delivery: Any = None, **message: Any) -> None:
        given = message if on_delivery is None else {**message, "on_delivery": on_delivery}
        while True:
            try:
                self._producer.produce(topic, **given)
                return
            except BufferError:  # the queue is full: let it drain
                self._producer.poll(0.1)

    def _again(self, call: Callable[[], object]) -> None:
        """Calls again while the cluster elects."""
        until = time.monotonic() + _RETRYING
        while True:
            try:
                call()
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise

    def _await(self, ends: Mapping[Partition, int]) -> None:
        """Waits until readers see it: a transaction's end reaches its partitions one by one."""
        until = time.monotonic() + _RETRYING
        while ends:
            found = self.log.cluster.ends(ends)
            ends = {place: end for place, end in ends.items() if found[place] < end}
            if ends and time.monotonic() > until:
                (topic, partition), _ = next(iter(ends.items()))
                raise LogError(
                    f"topic {topic}, partition {partition}",
                    "what was committed there is not visible: another writer's transaction stands open before it",
                    "do not send it again; stop the writer whose transaction hangs",
                )

    def _await_first(self, places: set[Partition]) -> None:
        """Waits until the first offsets ever of a partition are seen. (Later ones Kafka itself waits for.)"""
        until = time.monotonic() + _RETRYING
        while not places <= self._known and time.monotonic() < until:
            self._known = self._committed()

    def _committed(self) -> set[Partition]:
        return {(place.topic, place.partition) for place in self.log.groups.committed(self.log.group(self.role))}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            if error.args[0].code() in _FENCED:
                raise self._fenced() from error
            raise self.log.cluster.error(error.args[0], f"role {self.role}") from error


class LeasedWriter(KafkaWriter):
    """The only writer of its role: a lease names its process. WriterTaken where that runs on this host."""

    def __init__(self, log: KafkaLog, role: str, transactional_id: str) -> None:
        log.state.ensure()
        log.state.settled()  # one that closed just now has given the right back
        holder = log.holder(role)
        if holder is not None and holder.alive_here():
            raise WriterTaken(
                f"role {role}",
                f"the process {holder.pid} is its writer already",
                f"stop the process {holder.pid} first",
            )
        super().__init__(log, role, transactional_id)
        self._write([], {f"lease/{role}": as_json(Holder.here().record())}, [])

    def close(self) -> None:
        """Gives the right back."""
        if self._closed:
            return
        super().close()
        if not self._taken:
            try:
                self._write([], {f"lease/{self.role}": None}, [])
            except WriterTaken:
                return  # it is another's by now
