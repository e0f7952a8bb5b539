"""Generates the example's data. NOTHING HERE IS REAL: no card, no merchant, no fraud, and no bank's rates.

It is one seeded world, the same on every run. Cards have a home, a level of spending and favourite merchants;
merchants a sector, a country and a popularity. About one payment in two hundred is fraud, by an adversary that
changes when `PHASES` say so; a sixth of its campaigns stay with the older ways:

* card testing: stolen numbers are tried in bursts of small online payments within minutes;
* takeover: one to three payments of several times the card's usual amount, at night, at merchants new to it;
* mimic: one or two payments in daytime, of usual amounts, at a few merchants that take part.

Honest payments have look-alikes of each: gamers' bursts, shopping at night, big purchases, travel. Nine in ten
frauds are charged back, after a day or two as a rule, some later than the label waits; and two honest payments in
ten thousand are charged back too. So no model can be right about all.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86_400_000
HOUR = 3_600_000
BEGIN = 17_532 * DAY
"""2018-01-01 UTC, a Monday."""
PHASES = {"card testing": 0, "takeover": 5, "mimic": 11}
"""The first week of each, counted from 0."""
WEEKS = 16
A_DAY = 4_000
"""Honest payments."""
FRAUDS = 20
"""A day."""
COUNTRIES = np.array(["DE", "FR", "NL", "PL", "IT", "US"])
SECTORS = {
    # sector: share of merchants, typical amount, online, risk
    "grocery": (0.25, 30.0, 0.1, 0.1),
    "fuel": (0.10, 50.0, 0.0, 0.1),
    "fashion": (0.20, 60.0, 0.5, 0.3),
    "travel": (0.10, 180.0, 0.7, 0.4),
    "electronics": (0.15, 150.0, 0.6, 0.5),
    "games": (0.10, 9.0, 1.0, 0.5),
    "gift cards": (0.10, 60.0, 0.9, 0.7),
}
TIME = pa.timestamp("ms", tz="UTC")


def day(number: int) -> str:
    """The date of a day of the world, such as for `--until`."""
    return datetime.fromtimestamp((BEGIN + number * DAY) / 1000, UTC).strftime("%Y-%m-%d")


@dataclass(frozen=True)
class Merchants:
    names: np.ndarray
    sector: np.ndarray
    country: np.ndarray
    risk: np.ndarray
    level: np.ndarray
    online: np.ndarray
    popularity: np.ndarray

    @classmethod
    def made(cls, random: np.random.Generator, count: int) -> Merchants:
        names = np.array(list(SECTORS))
        shares, level, online, risk = (np.array(column) for column in zip(*SECTORS.values(), strict=True))
        sector = random.choice(len(names), count, p=shares)
        popularity = 1 / (1 + random.permutation(count)) ** 0.7
        return cls(
            np.array([f"m{number:04d}" for number in range(count)]),
            names[sector],
            random.choice(COUNTRIES, count, p=[0.6, 0.1, 0.1, 0.08, 0.07, 0.05]),
            np.round(np.clip(risk[sector] + random.normal(0, 0.1, count), 0, 1), 2),
            level[sector] * random.lognormal(0, 0.3, count),
            online[sector],
            popularity / popularity.sum(),
        )

    def of(self, *sectors: str) -> np.ndarray:
        return np.flatnonzero(np.isin(self.sector, sectors))


@dataclass(frozen=True)
class Cards:
    names: np.ndarray
    home: np.ndarray
    wealth: np.ndarray
    activity: np.ndarray
    favourites: np.ndarray
    gamer: np.ndarray

    @classmethod
    def made(cls, random: np.random.Generator, count: int, merchants: Merchants) -> Cards:
        activity = random.gamma(1.5, size=count)
        return cls(
            np.array([f"c{number:05d}" for number in range(count)]),
            random.choice(COUNTRIES, count, p=[0.8, 0.05, 0.05, 0.04, 0.04, 0.02]),
            random.lognormal(0, 0.4, count),
            activity / activity.sum(),
            random.choice(len(merchants.names), (count, 8), p=merchants.popularity),
            random.random(count) < 0.03,
        )


@dataclass(frozen=True)
class Payments:
    """Columns of some payments; `merchant` and `card` are places."""

    at: np.ndarray
    card: np.ndarray
    merchant: np.ndarray
    amount: np.ndarray
    online: np.ndarray
    country: np.ndarray

    @classmethod
    def joined(cls, parts: list[Payments]) -> Payments:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))


def honest(random: np.random.Generator, cards: Cards, merchants: Merchants, days: int, a_day: int) -> Payments:
    count = days * a_day
    card = random.choice(len(cards.names), count, p=cards.activity)
    favourite = cards.favourites[card, random.integers(0, cards.favourites.shape[1], count)]
    other = random.choice(len(merchants.names), count, p=merchants.popularity)
    merchant = np.where(random.random(count) < 0.8, favourite, other)
    hour = np.where(random.random(count) < 0.04, random.uniform(0, 6, count), random.normal(14.5, 3.5, count) % 24)
    at = BEGIN + random.integers(0, days, count) * DAY + (hour * HOUR).astype(np.int64)
    amount = merchants.level[merchant] * cards.wealth[card] * random.lognormal(0, 0.5, count)
    amount *= np.where(random.random(count) < 0.01, random.uniform(3, 6, count), 1)
    online = random.random(count) < merchants.online[merchant]
    away = random.random(count) < 0.03
    country = np.where(online | ~away, cards.home[card], random.choice(COUNTRIES, count))
    usual = Payments(at, card, merchant, amount, online, country)

    gamers, games = np.flatnonzero(cards.gamer), merchants.of("games")
    bursts = days * max(1, a_day // 500)
    size = random.integers(2, 5, bursts)
    who, where = random.choice(gamers, bursts), random.choice(games, bursts)
    start = BEGIN + random.integers(0, days * DAY, bursts)
    total = int(size.sum())
    burst = Payments(
        np.repeat(start, size) + random.integers(0, 15 * 60_000, total),
        np.repeat(who, size),
        np.repeat(where, size),
        random.uniform(1, 12, total),
        np.ones(total, bool),
        cards.home[np.repeat(who, size)],
    )
    return Payments.joined([usual, burst])


def campaign(
    random: np.random.Generator, phase: str, cards: Cards, merchants: Merchants, number: int, frauds: int
) -> Payments:
    """One day's fraud in one way, about `frauds` payments."""
    smallest, largest = {"card testing": (4, 9), "takeover": (1, 4), "mimic": (1, 3)}[phase]
    victims = max(1, round(frauds / ((smallest + largest - 1) / 2)))
    size = random.integers(smallest, largest, victims)
    total = int(size.sum())
    card = np.repeat(random.integers(0, len(cards.names), victims), size)
    begin = BEGIN + number * DAY
    usual = 45.0 * cards.wealth[card]
    if phase == "card testing":
        start, spread = random.integers(0, DAY, victims), 10 * 60_000
        merchant = random.choice(merchants.of("games", "gift cards"), total)
        amount = np.where(
            random.random(total) < 0.15, random.uniform(80, 250, total), random.uniform(0.5, 6, total)
        )
        country = cards.home[card]
    elif phase == "takeover":
        start, spread = random.integers(0, 5 * HOUR, victims), HOUR
        merchant = random.choice(merchants.of("electronics", "gift cards", "travel"), total)
        amount = usual * random.uniform(3, 9, total)
        country = np.where(random.random(total) < 0.4, random.choice(COUNTRIES, total), cards.home[card])
    else:
        start, spread = random.integers(9 * HOUR, 20 * HOUR, victims), 2 * HOUR
        merchant = random.choice(merchants.of("fashion")[:12], total)
        amount = usual * random.uniform(1.2, 3.5, total)
        country = cards.home[card]
    at = begin + np.repeat(start, size) + random.integers(0, spread, total)
    return Payments(at, card, merchant, amount, np.ones(total, bool), country)


def adversary(random: np.random.Generator, cards: Cards, merchants: Merchants, days: int, frauds: int) -> Payments:
    parts = []
    for number in range(days):
        begun = [phase for phase, week in PHASES.items() if week <= number // 7]
        *old, current = begun
        parts.append(campaign(random, current, cards, merchants, number, round(frauds * (5 / 6 if old else 1))))
        if old:
            parts.append(campaign(random, str(random.choice(old)), cards, merchants, number, round(frauds / 6)))
    return Payments.joined(parts)


def world(seed: int = 1, weeks: int = WEEKS, a_day: int = A_DAY, frauds: int = FRAUDS) -> dict[str, pa.Table]:
    """Tables `merchants`, `payments` and `chargebacks`, by time; the latter two with their `arrival`."""
    random = np.random.default_rng(seed)
    merchants = Merchants.made(random, 800)
    cards = Cards.made(random, max(200, a_day * 6 // 5), merchants)
    days = weeks * 7
    good = honest(random, cards, merchants, days, a_day)
    bad = adversary(random, cards, merchants, days, frauds)
    all_of = Payments.joined([good, bad])
    is_fraud = np.arange(len(all_of.at)) >= len(good.at)
    order = np.argsort(all_of.at, kind="stable")
    order = order[all_of.at[order] < BEGIN + days * DAY]
    at, is_fraud, count = all_of.at[order], is_fraud[order], len(order)
    merchant = merchants.names[all_of.merchant[order]]
    ids = np.array([f"p{number:07d}" for number in range(count)])
    amount = np.round(np.maximum(all_of.amount[order], 0.5), 2)
    payments = pa.table(
        {
            "payment_id": ids,
            "card": cards.names[all_of.card[order]],
            "merchant": merchant,
            "amount": amount,
            "channel": np.where(all_of.online[order], "online", "store"),
            "country": all_of.country[order],
            "paid_at": _times(at),
            "arrival": _times(at + random.integers(0, 60_000, count)),
        }
    )
    charged = np.where(is_fraud, random.random(count) < 0.92, random.random(count) < 0.0002)
    delay = (np.clip(random.lognormal(np.log(1.5), 0.6, count), 0.1, 30) * DAY).astype(np.int64)
    filed = (at + delay)[charged]
    late_first = np.argsort(filed, kind="stable")
    chargebacks = pa.table(
        {
            "payment_id": ids[charged][late_first],
            "merchant": merchant[charged][late_first],
            "amount": amount[charged][late_first],
            "filed_at": _times(filed[late_first]),
            "arrival": _times(filed[late_first] + 1_000),
        }
    )
    table = {"merchant": merchants.names, "sector": merchants.sector, "country": merchants.country}
    return {
        "merchants": pa.table({**table, "risk": merchants.risk}),
        "payments": payments,
        "chargebacks": chargebacks.filter(pa.array(filed[late_first] < BEGIN + days * DAY)),
    }


def write(folder: Path, tables: dict[str, pa.Table], cut: int) -> dict[str, int]:
    """merchants.csv, and both streams before the cut (ms; history: no arrival) and from it on; the rows of each."""
    folder.mkdir(parents=True, exist_ok=True)
    merchants = tables["merchants"]
    rows = [",".join(merchants.column_names), *(",".join(map(str, row.values())) for row in merchants.to_pylist())]
    (folder / "merchants.csv").write_text("\n".join(rows) + "\n")
    counts = {"merchants.csv": merchants.num_rows}
    for name, time in (("payments", "paid_at"), ("chargebacks", "filed_at")):
        before = np.asarray(tables[name][time].cast(pa.int64())) < cut
        history = tables[name].filter(pa.array(before)).drop_columns(["arrival"])
        for file, part in (("history", history), ("live", tables[name].filter(pa.array(~before)))):
            pq.write_table(part, folder / f"{name}.{file}.parquet")
            counts[f"{name}.{file}.parquet"] = part.num_rows
    return counts


def _times(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.int64()).cast(TIME)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    for file, rows in write(target, world(), BEGIN + (WEEKS * 7 - 1) * DAY).items():
        print(f"{file:28} {rows:>9,} rows")
