"""Ranges of tiles merged inside SQLite: the SELECT of each family, and from its row to a partial.

Whole numbers are summed in two halves, so that no step on the way leaves 64 bits. Moments merge about one of the
means (Chan, Golub and LeVeque 1979), so that values far from zero keep their precision. The first and the last
event are looked for from the two ends of the range, which the key of the table orders by hop.
"""

from __future__ import annotations

from typing import Any

from headrace.declare.declaration import View
from headrace.features.partials import EMPTY, Partial


def select(view: View, number: int, listed: str, parameter: int) -> str:
    """One row of eight columns: n, six of the family's own, and the newest event time (ms).

    number: the view's. listed: a further condition, or nothing. parameter: the number of that which holds the
    key; the next one holds the first hop.

    >>> from headrace.declare.types import ColumnType
    >>> view = View("v", "sale", ("sku",), 60_000, "extremes", None, ColumnType("int"))
    >>> select(view, 1, "", 1)
    'SELECT sum(n), min(a), max(b), 0, 0, 0, 0, max(newest) FROM tiles WHERE view = 1 AND key = ?1 AND hop >= ?2'
    """
    tiles = f"FROM tiles WHERE view = {number} AND key = ?{parameter} AND hop >= ?{parameter + 1}{listed}"
    match view.family:
        case "total" if view.type.kind == "float":
            return f"SELECT sum(n), sum(a), 0, 0, 0, 0, 0, max(newest) {tiles}"
        case "total":
            return f"SELECT sum(n), sum(a >> 32), sum(a & 4294967295), 0, 0, 0, 0, max(newest) {tiles}"
        case "extremes":
            return f"SELECT sum(n), min(a), max(b), 0, 0, 0, 0, max(newest) {tiles}"
        case "moments":
            about = f"(SELECT a {tiles} AND n > 0 LIMIT 1)"
            spread = f"SELECT sum(b + n * (a - p - d) * (a - p - d)) {tiles}"
            means = (
                f"SELECT sum(n) AS m, {about} AS p, sum(n * (a - {about})) / sum(n) AS d, max(newest) AS l {tiles}"
            )
            return f"SELECT m, p + d, ({spread}), 0, 0, 0, 0, l FROM ({means})"
        case "ends":
            first = f"SELECT a, a_at, a_id {tiles} AND n > 0 ORDER BY hop, a_at, a_id LIMIT 1"
            last = f"SELECT b, b_at, b_id {tiles} AND n > 0 ORDER BY hop DESC, b_at DESC, b_id DESC LIMIT 1"
            all_of_them = f"SELECT sum(n) AS m, max(newest) AS l {tiles}"
            return (
                f"SELECT m, x.a, x.a_at, x.a_id, y.b, y.b_at, y.b_id, l "
                f"FROM ({all_of_them}) LEFT JOIN ({first}) AS x LEFT JOIN ({last}) AS y"
            )


def merged(view: View, row: tuple[Any, ...]) -> Partial:
    """The partial that a row of `select` holds."""
    n = row[0]
    if not n:
        return EMPTY
    match view.family:
        case "total" if view.type.kind != "float":
            return Partial(n, (row[1] << 32) + row[2])
        case "total":
            return Partial(n, row[1])
        case "ends":
            _, a, a_at, a_id, b, b_at, b_id, _ = row
            return Partial(n, a, b, a_at, a_id, b_at, b_id)
        case _:
            return Partial(n, row[1], row[2])
