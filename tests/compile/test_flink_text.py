"""The text for Flink: each rewrite that makes it mean what DuckDB and Python mean."""

from __future__ import annotations

from typing import Any

import ibis
import pytest

from headrace.compile import flink
from headrace.declare.row import relation
from headrace.declare.types import ColumnType

kinds: dict[str, Any] = {"i": "int", "j": "int", "f": "float", "s": "str", "b": "bool", "t": "time", "u": "time"}
record = relation({name: ColumnType(kind, nullable=True) for name, kind in kinds.items()})
i, j, f, s, b, t, u = (record[name] for name in kinds)
MAX = "1.7976931348623157e308"

GOLDEN = [
    (f, f"CASE WHEN ABS(`f`) <= {MAX} THEN `f` END"),
    (ibis.greatest(i, j), "GREATEST(COALESCE(`i`, `j`), COALESCE(`j`, `i`))"),
    (
        i // 7,
        "(`i` / CAST(7 AS BIGINT) - CASE WHEN MOD(`i`, CAST(7 AS BIGINT)) < 0 THEN 1 ELSE 0 END)",
    ),
    (
        i // j,
        "(`i` / NULLIF(`j`, CAST(0 AS BIGINT)) - CASE WHEN (`i` < 0) <> (NULLIF(`j`, CAST(0 AS BIGINT)) < 0)"
        " AND MOD(`i`, NULLIF(`j`, CAST(0 AS BIGINT))) <> 0 THEN 1 ELSE 0 END)",
    ),
    (i % j, "MOD(`i`, NULLIF(`j`, CAST(0 AS BIGINT)))"),
    (i == 1.5, "(CAST(`i` AS DOUBLE) = 1.5e0)"),
    (i.cast(float).cast(int), (
        "CASE WHEN hr_truncate(CAST(`i` AS DOUBLE)) >= -9.223372036854775808e18"
        " AND hr_truncate(CAST(`i` AS DOUBLE)) < 9.223372036854775808e18"
        " THEN CAST(hr_truncate(CAST(`i` AS DOUBLE)) AS BIGINT) END"
    )),
    (b.cast(str), "CASE WHEN `b` THEN 'true' WHEN (NOT `b`) THEN 'false' ELSE CAST(NULL AS STRING) END"),
    (b ^ (i > 1), "(`b` <> (`i` > CAST(1 AS BIGINT)))"),
    (
        s.re_extract("(a)b$", 1),
        r"CASE WHEN REGEXP(`s`, '(?d)(a)b\z') THEN COALESCE(REGEXP_EXTRACT(`s`, '(?d)(a)b\z', 1), '') END",
    ),
    (s.try_cast(int), r"CASE WHEN REGEXP(`s`, '^(?:[+-]?[0-9]+)\z') THEN TRY_CAST(`s` AS BIGINT) END"),
    (s.lpad(3, "0"), (
        "CASE WHEN CHAR_LENGTH(`s`) >= 3 THEN `s` ELSE REPEAT('0', 3 - CHAR_LENGTH(`s`)) || `s` END"
    )),
    (s + "it's", "(`s` || 'it''s')"),
    (
        t.epoch_seconds(),
        "(CAST(TIMESTAMPDIFF(DAY, TIMESTAMP '1970-01-01 00:00:00', `t`) AS BIGINT) * 86400"
        " + EXTRACT(HOUR FROM `t`) * 3600 + EXTRACT(MINUTE FROM `t`) * 60 + EXTRACT(SECOND FROM `t`))",
    ),
    (
        t - ibis.interval(days=1, hours=2),
        "CASE WHEN `t` >= TIMESTAMP '1970-01-02 02:00:00.000' THEN"
        " TIMESTAMPADD(SECOND, -7200, TIMESTAMPADD(DAY, -1, `t`)) END",
    ),
    (
        t.delta(u, unit="hour"),
        "CAST(TIMESTAMPDIFF(HOUR, FLOOR(`u` TO HOUR), FLOOR(`t` TO HOUR)) AS BIGINT)",
    ),
    (t.truncate("Q"), "FLOOR(`t` TO QUARTER)"),
    (t.day_of_week.index(), "CAST(MOD(DAYOFWEEK(`t`) + 5, 7) AS BIGINT)"),
    (i.fill_null(0.5), "COALESCE(CAST(`i` AS DOUBLE), 0.5e0)"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "text"), GOLDEN, ids=[str(n) for n in range(len(GOLDEN))])
def test_each_rewrite(expression: Any, text: str) -> None:
    assert flink.select({"x": expression}) == f"SELECT\n  {text} AS `x`\nFROM `record`"


def test_kept_columns_and_the_source_are_quoted() -> None:
    text = flink.select({"a`b": i + 0}, source="inventory.sales", keep=["s", "order"])
    assert text == "SELECT\n  `s`,\n  `order`,\n  hr_add(`i`, CAST(0 AS BIGINT)) AS `a``b`\nFROM `inventory.sales`"
