"""The training kernel: what every window feature was worth at a time, for many keys and times at once.

The value at t merges the tiles from `floor((t - W) / h)` on, and counts what had arrived before t (values as
served). As an event never arrives before it happens, a tile whose newest arrival lies before t counts whole; of
the others, the events that had arrived. So with a view's events in the order (key, hop, arrival) a value is a
fold over a few runs of them: one for the tiles that are whole, up to the first that is not, and one for each
from there on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.compile.tiles import events_sql
from headrace.declare.declaration import View, WindowFeature
from headrace.declare.keys import key_sql
from headrace.features.folds import Fold, Ints, Slots, WholeSums, extremes, float_sums, moments, whole_sums
from headrace.features.partials import INT_MAX, INT_MIN, overflow, periods

Mask = npt.NDArray[np.bool_]


def window_values(
    events: pa.Table,
    windows: Sequence[WindowFeature],
    keys: Mapping[str, Sequence[str | None] | pa.Array],
    times: Ints,
) -> dict[str, pa.Array]:
    """The values of window features of ONE stream as they were served at each time, by feature name.

    events: enriched records of the stream in any order, history included (docs/architecture.md). keys: for each
    view id the key text of every row; where it is null the values are null. times: t of every row, ms. Later
    events do no harm. FeatureError where a sum of whole numbers leaves 64 bits.

    >>> import ibis
    >>> from headrace.declare.types import ColumnType
    >>> sale = ibis.table({"sku": "string", "units": "int64"}, name="record")
    >>> view = View("v", "sale", ("sku",), 60_000, "total", sale.units, ColumnType("int"))
    >>> units = WindowFeature("recent__units", view, "sum", 3_600_000, None, ColumnType("int", nullable=True))
    >>> events = pa.table({"sku": ["a", "a"], "units": [2, 3], "_time": [1_000, 2_000], "_arrival": [1_500, 9_000],
    ...                    "_file": pa.nulls(2, pa.string()), "_partition": [0, 0], "_offset": [0, 1]})
    >>> times = np.array([1_500, 1_501, 5_000, 9_001])
    >>> window_values(events, [units], {"v": ["a", "a", "b", "a"]}, times)["recent__units"].to_pylist()
    [None, 2, 0, 5]
    """
    stream = _Events(events)
    texts = {
        view: found if isinstance(found, pa.Array) else pa.array(found, pa.string()) for view, found in keys.items()
    }
    folders: dict[str, _Folder] = {}
    rows: list[_Rows] = []
    folded: dict[tuple[str, int], tuple[_Folder, _Rows, Slots]] = {}
    values = {}
    for window in windows:
        view = window.view
        if (view.id, window.size) not in folded:
            folder = folders.get(view.id) or folders.setdefault(view.id, _Folder(stream, view))
            own = next((one for one in rows if one.serve(folder.layout, window.size, texts[view.id])), None)
            if own is None:
                own = _Rows(folder.layout, window.size, texts[view.id], times)
                rows.append(own)
            folded[view.id, window.size] = folder, own, own.fold(folder.fold)
        folder, own, slots = folded[view.id, window.size]
        values[window.name] = folder.finish(window, slots, own.begun)
    return values


def as_if_on_time(events: pa.Table) -> pa.Table:
    """The same events, each arrived when it happened: values by event time alone."""
    return events.set_column(events.column_names.index("_arrival"), "_arrival", events["_time"])


class _Events:
    """The events of a stream: what its views share. `_offset` becomes the row's number, for the views' SQL."""

    def __init__(self, events: pa.Table) -> None:
        self._events = events
        self._layouts: dict[tuple[tuple[str, ...], int], _Layout] = {}
        self._keys: dict[tuple[str, ...], pa.DictionaryArray] = {}
        self._order: Ints | None = None
        self.count = events.num_rows
        self.time: Ints = events["_time"].to_numpy()
        arrival: Ints = np.maximum(events["_arrival"].to_numpy(), self.time)
        self.by_arrival = np.argsort(arrival, kind="stable")
        self.arrivals, self.arrival_ranks = _distinct(arrival, self.by_arrival)
        self._sql = duckdb.connect()
        self._sql.execute("SET enable_progress_bar = false")
        numbered = events.set_column(
            events.column_names.index("_offset"), "_offset", pa.array(np.arange(self.count))
        )
        self._sql.register("records", numbered)

    def layout(self, view: View) -> _Layout:
        """Shared by the views of one key and one hop."""
        place = view.by, view.hop
        if place not in self._layouts:
            if view.by not in self._keys:
                found = self._select(f"SELECT {key_sql(view.by)} AS key FROM records")["key"]
                self._keys[view.by] = pc.dictionary_encode(found).combine_chunks()
            self._layouts[place] = _Layout(self, self._keys[view.by], view.hop)
        return self._layouts[place]

    def values(self, view: View) -> pa.Array:
        """The view's value for each event; null also where it has no key."""
        found = self._select(f"SELECT _offset, value FROM ({events_sql(view, 'records')})")
        offsets = found["_offset"].to_numpy()
        if len(offsets) == self.count and np.array_equal(offsets, np.arange(self.count)):
            return found["value"].combine_chunks()
        place = np.full(self.count, -1)
        place[offsets] = np.arange(len(offsets))
        return found["value"].combine_chunks().take(pa.array(place, mask=place < 0))

    def _select(self, query: str) -> pa.Table:
        found: pa.Table = self._sql.sql(query).to_arrow_table()
        return found

    def order(self) -> Ints:
        """The events' rows in the order of (event time, id)."""
        if self._order is None:
            file = pc.fill_null(self._events["_file"].cast(pa.string()), "")
            columns = self._events.select(["_time", "_partition", "_offset"]).append_column("_file", file)
            keys = [(name, "ascending") for name in ("_time", "_file", "_partition", "_offset")]
            self._order = pc.sort_indices(columns, sort_keys=keys).to_numpy().astype(np.int64)
        return self._order


class _Layout:
    """The events that have a key, in the order (key, hop, arrival), and where each tile begins.

    Times of arrival are counted by rank, so that (tile, arrival) and (key, arrival) fit in one int64 each.
    """

    def __init__(self, events: _Events, keys: pa.DictionaryArray, hop: int) -> None:
        self.keys, self.hop = keys.dictionary, hop
        codes = pc.fill_null(keys.indices, -1).to_numpy().astype(np.int64)
        hops = events.time // hop
        self._least = int(hops.min()) if len(hops) else 0
        self._hops = int(hops.max()) - self._least + 2 if len(hops) else 2
        rows = events.by_arrival
        rows = rows[codes[rows] >= 0]
        tiles = codes[rows] * self._hops + (hops[rows] - self._least)
        order = np.argsort(tiles, kind="stable")
        self.rows, tiles = rows[order], tiles[order]
        first = np.flatnonzero(np.diff(tiles, prepend=-1))
        self._tiles = tiles[first]
        self.starts = np.append(first, len(tiles))
        ranks = events.arrival_ranks[self.rows]
        self._arrivals, self._ranks = events.arrivals, len(events.arrivals) + 1
        self._begins = int(self._arrivals[ranks.min()]) if len(ranks) else None
        self._within = np.repeat(np.arange(len(first)), np.diff(self.starts)) * self._ranks + ranks
        newest = ranks[self.starts[1:] - 1]
        self._newest = np.maximum.accumulate(self._tiles // self._hops * self._ranks + newest)

    def begun(self, times: Ints) -> Mask:
        """Whether any event with a key had arrived before each time."""
        return np.zeros(len(times), bool) if self._begins is None else times > self._begins

    def codes(self, keys: pa.Array) -> Ints:
        """The number of each key, -1 where no event has it."""
        found = pc.index_in(keys, value_set=self.keys, skip_nulls=True)
        codes: Ints = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return codes

    def tile(self, codes: Ints, hops: Ints) -> Ints:
        """The first tile of each key at that hop (counted from 1970) or later."""
        within = np.clip(hops - self._least, 0, self._hops - 1)
        return np.searchsorted(self._tiles, codes * self._hops + within)

    def known(self, times: Ints) -> Ints:
        """The rank of the first arrival at each time or later."""
        return np.searchsorted(self._arrivals, times)

    def unfinished(self, codes: Ints, ranks: Ints) -> Ints:
        """A tile before which all tiles of the key count whole, when arrivals of lower rank are known."""
        return np.searchsorted(self._newest, codes * self._ranks + ranks)

    def until(self, tiles: Ints, ranks: Ints) -> Ints:
        """The event after the last of each tile that is known, when arrivals of lower rank are known."""
        return np.searchsorted(self._within, tiles * self._ranks + ranks)


class _Rows:
    """Keys and times over a layout: which runs of events make up the window of each."""

    def __init__(self, layout: _Layout, size: int, keys: pa.Array, times: Ints) -> None:
        self._layout, self._size, self._keys = layout, size, keys
        self.begun: Mask = layout.begun(times) & keys.is_valid().to_numpy(zero_copy_only=False)
        codes = layout.codes(keys)
        self._order = np.lexsort((times, codes))  # neighbours search the same places: several times as fast
        codes, times = codes[self._order], times[self._order]
        self._ranks = layout.known(times)
        there = codes >= 0
        low = np.where(there, layout.tile(codes, (times - size) // layout.hop), 0)
        high = np.where(there, layout.tile(codes, -(-times // layout.hop)), 0)
        self._low, self._high = low, np.maximum(low, high)
        self._whole = np.clip(layout.unfinished(codes, self._ranks), self._low, self._high)

    def serve(self, layout: _Layout, size: int, keys: pa.Array) -> bool:
        """Whether these are the rows of that window too."""
        return self._layout is layout and self._size == size and self._keys.equals(keys)

    def fold(self, fold: Fold) -> Slots:
        """The partial of each row's window."""
        layout = self._layout
        found = fold.runs(layout.starts[self._low], layout.starts[self._whole])
        for rows, left, right in self._cut():
            merged = fold.merge(tuple(slot[rows] for slot in found), fold.runs(left, right))
            for slot, new in zip(found, merged, strict=True):
                slot[rows] = new
        return tuple(_back(slot, self._order) for slot in found)

    def _cut(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        """The known events of the tiles that may not be whole, one tile of each row at a time."""
        rows, tiles = np.arange(len(self._whole)), self._whole
        while len(rows):
            more = tiles < self._high[rows]
            rows, tiles = rows[more], tiles[more]
            yield rows, self._layout.starts[tiles], self._layout.until(tiles, self._ranks[rows])
            tiles = tiles + 1


class _Folder:
    """A view's events, ready to be folded; and from slots to values."""

    def __init__(self, events: _Events, view: View) -> None:
        self.layout = events.layout(view)
        self._values: pa.Array | None = None
        values = events.values(view)
        known = values.is_valid().to_numpy(zero_copy_only=False)
        rows = self.layout.rows
        if view.family == "ends":
            self._values = values.take(pa.array(events.order()))
            numbers = np.empty(events.count, np.int64)
            numbers[events.order()] = np.arange(events.count)
        elif view.type.kind == "str":
            numbers, self._values = _ranked(values)
        else:
            numbers = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
        self.fold = _fold(view, numbers[rows], known[rows])

    def finish(self, window: WindowFeature, slots: Slots, begun: Mask) -> pa.Array:
        """The feature's values; null where the view had not begun."""
        n = slots[0].astype(np.int64)
        filled = begun & (n > 0)
        kind = window.type.arrow
        match window.aggregate:
            case "count":
                return pa.array(n, kind, mask=~begun)
            case "sum":
                return pa.array(self._total(window, slots), kind, mask=~begun)
            case "rate":
                return pa.array(self._total(window, slots).astype(np.float64) / periods(window), kind, mask=~begun)
            case "mean":
                total = self._total(window, slots).astype(np.float64)
                return pa.array(total / np.maximum(n, 1), kind, mask=~filled)
            case "variance":
                return pa.array(slots[2] / np.maximum(n, 1), kind, mask=~filled)
            case "stddev":
                return pa.array(np.sqrt(slots[2] / np.maximum(n, 1)), kind, mask=~filled)
            case "min" | "first":
                found = slots[1]
            case "max" | "last":
                found = slots[2]
        if self._values is None:
            return pa.array(found, mask=~filled).cast(kind)
        return self._values.take(pa.array(found, mask=~filled)).cast(kind)

    def _total(self, window: WindowFeature, slots: Slots) -> npt.NDArray[Any]:
        if not isinstance(self.fold, WholeSums):
            return slots[1]
        high, low = slots[1] + (slots[2] >> 32), slots[2] & 0xFFFFFFFF
        if ((high < INT_MIN >> 32) | (high > INT_MAX >> 32)).any():
            raise overflow(window)
        total: Ints = (high << 32) | low
        return total


def _back(slot: npt.NDArray[Any], order: Ints) -> npt.NDArray[Any]:
    """Undoes a sort."""
    found = np.empty_like(slot)
    found[order] = slot
    return found


def _fold(view: View, values: npt.NDArray[Any], known: Mask) -> Fold:
    match view.family:
        case "total":
            return float_sums(values, known) if view.type.kind == "float" else whole_sums(values, known)
        case "moments":
            return moments(values.astype(np.float64), known)
        case "extremes" | "ends":
            return extremes(values, known)


def _distinct(values: Ints, order: Ints) -> tuple[Ints, Ints]:
    """The distinct values, ascending, and the number of each value among them; `order` sorts the values."""
    ascending = values[order]
    fresh = np.ones(len(values), bool)
    fresh[1:] = ascending[1:] != ascending[:-1]
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.cumsum(fresh) - 1
    return ascending[fresh], ranks


def _ranked(values: pa.Array) -> tuple[Ints, pa.Array]:
    """Texts as numbers in the order of their bytes, and the text of each number."""
    encoded = values.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy().astype(np.int64)
    rank = np.empty(len(order) + 1, np.int64)
    rank[order] = np.arange(len(order))
    return rank[pc.fill_null(encoded.indices, -1).to_numpy()], encoded.dictionary.take(pa.array(order))
