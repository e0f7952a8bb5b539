"""Generated payments with an adversary that changes, for tests of the whole loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86_400_000
BEGIN = 17_500 * DAY
"""2017-11-30, UTC."""
CUT = BEGIN + 5 * DAY
CHANGE = BEGIN + 6 * DAY
END = BEGIN + 9 * DAY
MERCHANTS = [(f"m{i}", ("food", "travel", "games")[i % 3], round(0.1 + 0.07 * i, 2)) for i in range(10)]

TIME = pa.timestamp("ms", tz="UTC")


def write(folder: Path, seed: int = 3, a_day: int = 320, begin: int = BEGIN) -> None:
    """merchants.csv, payments and chargebacks before and from the cut on, as Parquet files in a folder.

    begin: ms, instead of `BEGIN`; the cut, the change and the end move with it.
    """
    shift = begin - BEGIN
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["merchant,sector,risk", *(f"{name},{sector},{risk}" for name, sector, risk in MERCHANTS)]
    (folder / "merchants.csv").write_text("\n".join(lines) + "\n")
    random = np.random.default_rng(seed)
    count = a_day * 9
    at = np.sort(random.integers(BEGIN, END, count))
    card = np.array([f"card {i}" for i in random.integers(0, 40, count)])
    place = random.integers(0, len(MERCHANTS), count)
    amount = np.round(random.lognormal(3.0, 0.8, count), 2)
    risky = np.where(at < CHANGE, amount * np.array([m[2] for m in MERCHANTS])[place] > 14, amount < 9)
    fraud = risky & (random.random(count) < 0.9)
    payments = pa.table(
        {
            "payment_id": [f"p{i:05d}" for i in range(count)],
            "card": card,
            "merchant": [MERCHANTS[i][0] for i in place],
            "amount": np.where(random.random(count) < 0.01, -1.0, amount),
            "paid_at": pa.array(at + shift, pa.int64()).cast(TIME),
            "arrival": pa.array(at + shift + random.integers(0, 60_000, count), pa.int64()).cast(TIME),
        }
    )
    filed = at + shift + random.integers(2 * 3_600_000, 20 * 3_600_000, count)
    chargebacks = pa.table(
        {
            "payment_id": payments["payment_id"],
            "lost": pa.array(amount),
            "filed_at": pa.array(filed, pa.int64()).cast(TIME),
            "arrival": pa.array(filed, pa.int64()).cast(TIME),
        }
    ).filter(pa.array(fraud))
    for name, table, time in (("payment", payments, "paid_at"), ("chargeback", chargebacks, "filed_at")):
        before = np.asarray(table[time].cast(pa.int64())) < CUT + shift
        pq.write_table(table.filter(pa.array(before)).drop_columns(["arrival"]), folder / f"{name}.history.parquet")
        pq.write_table(table.filter(pa.array(~before)), folder / f"{name}.parquet")
