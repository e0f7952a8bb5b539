"""The online store on Redis: one writer, any number of readers on any number of machines.

The tiles of one view and key are one string (features/redis_tiles.py): a window is one GET of few bytes a tile,
which the reader filters and merges. Reads and writes are scripts (features/redis_scripts.py): each is one round
trip and one instant. Redis may lose its last second when it is killed, position and tiles together; every `apply`
therefore writes a new token and is refused where it does not find its last one, so that its reader of the log comes
back to what is there, without a restart.

Keys, after the prefix: `m` (format, token, version of the epochs, mark), `p` (positions), `v`, `e` (views,
epochs), `t<view>:<key>` (tiles), `w<view>:<key>` (tiles with text), `a<title>` (attributes by key).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import FeatureError, StoreUnavailable
from headrace.features.contract import Reading, TileRange, reading
from headrace.features.partials import Partial
from headrace.features.redis_epochs import Epochs
from headrace.features.redis_scripts import APPLY, EXPIRE, LOOK, READ, hash_set, joined
from headrace.features.redis_server import RedisServer
from headrace.features.redis_tiles import PLACE, has_wide, is_wide, merged, packed, wide
from headrace.features.versions import Versions, changes_of
from headrace.log.batches import Partition, Positions

_FORMAT: Final = b"1"
_SCANNED: Final = 1_000
_ANSWER: Final = 5.0
_APPLY: Final = 60.0
"""Seconds to wait for an answer, and for that to a large block of tiles."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the writer knows of the store as it was left: its token, and its epochs."""

    token: bytes
    views: Mapping[bytes, bytes]
    epochs: Mapping[bytes, bytes]


class RedisStore:
    """An online store in one database of a Redis server. Threads share it.

    url: `redis:host:port/db`, `rediss:` with TLS, `redis:user:password@host:port/db`; `?prefix=shop:` begins the
    names of its keys (default `hr:`), `?ca=` is a file of certificates to trust. FeatureError where it is not to be
    used; StoreUnavailable, which may pass by itself, where it does not answer.
    """

    def __init__(self, url: str) -> None:
        self._server = RedisServer(url)
        self._prefix = self._server.prefix
        self._client = self._server.client(_ANSWER)
        self._writer = self._server.client(_APPLY)
        self._read = self._client.register_script(READ)
        self._state = self._writer.register_script(LOOK)
        self._apply = self._writer.register_script(APPLY)
        self._expire = self._writer.register_script(EXPIRE)
        self._known: _Known | None = None
        self._begun: tuple[bytes, dict[str, tuple[int, frozenset[int]]]] = (b"", {})
        with self._server.explained():
            self._server.check_memory(self._client)
            self._check()

    def _check(self) -> None:
        found = self._client.hget(self._key("m"), "format")
        if found not in (None, _FORMAT):
            raise FeatureError(
                self._server.subject,
                f"another Headrace made it (format {found.decode()}, and this one reads {_FORMAT.decode()})",
                "choose another database or prefix: the online role fills it from the log",
            )

    def position(self) -> Positions:
        with self._server.explained():
            known, positions = self._look()
        self._known = self._known or known
        return positions

    def mark(self) -> int | None:
        with self._server.explained():
            found = self._client.hget(self._key("m"), "mark")
        return int(found) if found else None

    def apply(
        self, tiles: pa.Table | None, changes: Mapping[str, pa.Table], positions: Positions, mark: int | None
    ) -> None:
        with self._server.explained():
            known = self._known or self._look()[0]
            self._known = None  # until it is there
            following = self._following(known, tiles, changes, positions, mark)
        self._known = following

    def read(self, ranges: Sequence[TileRange], attributes: Sequence[tuple[str, str]], t: int) -> Reading:
        with self._server.explained():
            while True:
                version, views = self._begun
                begun = [part for part in ranges if part.view.id in views]
                names = {(part.view.id, part.key): f"{views[part.view.id][0]}:{part.key}" for part in begun}
                wides = {(part.view.id, part.key): None for part in begun if has_wide(part.view)}
                places = [text for title, key in attributes for text in (title, key)]
                keys = [*names.values(), *(names[place] for place in wides)]
                reply = self._read(args=[self._prefix, version, len(names), len(wides), *keys, *places])
                if len(reply) == 4:
                    break
                self._begun = reply[0], Epochs(_pairs(reply[1]), _pairs(reply[2])).begun()
        mark, records, texts, rows = reply
        of_place = dict(zip(names, records, strict=True))
        of_wide = dict(zip(wides, texts, strict=True))
        partials: list[Partial | None] = []
        times = []
        for part in ranges:
            if part.view.id not in views:
                partials.append(None)
                continue
            place = part.view.id, part.key
            epochs = views[part.view.id][1]
            partial, newest = merged(part.view, part.since, epochs, of_place[place], of_wide.get(place, b""))
            partials.append(partial)
            times.append(newest)
        versions = [None if row is None else row.decode() for row in rows]
        return reading(partials, times, versions, t, int(mark) if mark else None)

    def expire(self, before: Mapping[str, int]) -> int:
        """Looks at every key of its database, a thousand at a time; each thousand is one instant."""
        dropped, cursor = 0, 0
        with self._server.explained():
            numbers = Epochs(self._writer.hgetall(self._key("v")), {}).views
            since = {str(numbers[view]).encode(): hop for view, hop in before.items() if view in numbers}
            begins = len(self._prefix)
            while since:
                cursor, keys = self._writer.scan(cursor, f"{self._prefix}[tw]*", _SCANNED)
                places = [(key, key[begins + 1 :].partition(b":")[0]) for key in keys]
                due = [
                    part
                    for key, view in places
                    if view in since
                    for part in (key[begins : begins + 1], key, since[view])
                ]
                if due:
                    dropped += self._expire(args=due)
                if cursor == 0:
                    break
        return dropped

    def close(self) -> None:
        self._client.close()
        self._writer.close()

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _look(self) -> tuple[_Known, Positions]:
        token, *hashes = self._state(args=[self._prefix])
        views, epochs, places = map(_pairs, hashes)
        positions: dict[Partition, int] = {}
        for place, offset in places.items():
            partition, _, topic = place.decode().partition(":")
            positions[topic, int(partition)] = int(offset)
        return _Known(token, views, epochs), positions

    def _following(
        self,
        known: _Known,
        tiles: pa.Table | None,
        changes: Mapping[str, pa.Table],
        positions: Positions,
        mark: int | None,
    ) -> _Known:
        """Writes all of it; what is known then."""
        token = secrets.token_bytes(8)
        epochs = Epochs(known.views, known.epochs)
        records: list[bytes] = []
        commands = self._versions(changes)
        if tiles is not None and tiles.num_rows:
            found, wides = self._tiles(epochs, tiles)
            records += found
            commands += wides
        views, by_name = epochs.dump()
        meta = {b"format": _FORMAT, b"mark": b"" if mark is None else str(mark).encode()}
        if (views, by_name) != (known.views, known.epochs):
            meta[b"epochs"] = token
            commands += [self._set("v", views), self._set("e", by_name)]
        places = {f"{part}:{topic}".encode(): str(offset).encode() for (topic, part), offset in positions.items()}
        commands += [self._set("p", places), self._set("m", meta)]
        written = token, joined(records), b"".join(commands)
        done = self._apply(args=[self._key("m"), known.token, b"", *written])
        if isinstance(done, bytes):
            self._server.write_log_anew(self._writer)
            done = self._apply(args=[self._key("m"), known.token, done, *written])
        if done != 1:
            raise StoreUnavailable(
                self._server.subject,
                "it is not as this writer left it: it lost what it had not flushed, or another role writes to it",
                "run one online role; it goes on from the position that the store has",
            )
        return _Known(token, views, by_name)

    def _tiles(self, epochs: Epochs, tiles: pa.Table) -> tuple[list[bytes], list[bytes]]:
        """Keys and records of tiles; commands for those with text. A row without a key lists an epoch."""
        records, commands = [], []
        ids = tiles["view"].combine_chunks().dictionary_encode()
        for code, id_ in enumerate(ids.dictionary.to_pylist()):
            view = epochs.view(id_)
            rows = tiles.filter(pc.equal(ids.indices, code))
            is_tile = pc.is_valid(rows["key"])
            listing, rows = rows.filter(pc.invert(is_tile)), rows.filter(is_tile)
            epochs.list(view, zip(listing["epoch"].to_pylist(), listing["n"].to_pylist(), strict=True))
            names = rows["epoch"].combine_chunks().dictionary_encode()
            found = epochs.fill(view, names.dictionary.to_pylist())
            numbers = np.array([found[name] for name in names.dictionary.to_pylist()], np.uint32)
            numbers = numbers[names.indices.to_numpy()]
            with_text = is_wide(rows)
            plain = with_text.to_numpy() ^ True
            for key, content in packed(rows.filter(pc.invert(with_text)), numbers[plain]):
                records += [self._key(f"t{view}:{key}").encode(), content]
            fields: dict[str, dict[bytes, bytes]] = {}
            some = rows.filter(with_text).to_pylist()
            for row, epoch in zip(some, numbers[~plain].tolist(), strict=True):
                record = wide(row, epoch)
                fields.setdefault(row["key"], {})[record[:PLACE]] = record
            commands += [self._set(f"w{view}:{key}", own) for key, own in fields.items()]
        return records, commands

    def _versions(self, changes: Mapping[str, pa.Table]) -> list[bytes]:
        """Commands that give rows of tables their new versions. Read before it is written: there is one writer."""
        taken = {title: list(changes_of(table)) for title, table in changes.items()}
        commands = []
        for title, some in taken.items():
            keys = list(dict.fromkeys(change.key for change in some))
            if not keys:
                continue
            texts = self._writer.hmget(self._key(f"a{title}"), keys)
            rows = {
                key: Versions() if text is None else Versions.load(text)
                for key, text in zip(keys, texts, strict=True)
            }
            for change in some:
                rows[change.key].take(change)
            fields = {key.encode(): versions.dump().encode() for key, versions in rows.items()}
            commands.append(self._set(f"a{title}", fields))
        return commands

    def _set(self, name: str, fields: Mapping[bytes, bytes]) -> bytes:
        return hash_set(self._key(name).encode(), dict(fields))


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
