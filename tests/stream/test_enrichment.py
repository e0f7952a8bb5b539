from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from headrace.errors import SourceError
from headrace.stream.deadletters import replay
from headrace.stream.edges import history
from headrace.stream.enrichment import Enrichment


def reasons(shop: Any) -> dict[str, str]:
    return {letter.id: letter.reason for letter in shop.dead()}


def test_dead_letters_are_decided_in_order(open_shop: Any) -> None:
    shop = open_shop(partitions=1)
    shop.send(
        ("good", "s", 1, 1.0, 10_000, 10_500),
        ("future and invalid", "s", -1, 1.0, 12_001, 11_000),
        ("late and invalid", "s", -1, None, 10_000, 15_001),
        ("two rules fail", "s", -1, None, 10_000, 10_000),
        ("null fails", "s", 1, None, 10_000, 10_000),
        ("before 1970", "s", 1, 1.0, -1, 1),
        ("overflows", "s", 10**13, 1.0, 10_000, 10_000),
        ("overflows and fails", "s", 10**13, 2e6, 10_000, 10_000),
        ("on the edge of late", "s", 1, 1.0, 10_000, 15_000),
        ("on the edge of the future", "s", 1, 1.0, 12_000, 11_000),
    )
    shop.send_bytes(b"nonsense", 10_000)
    shop.drain(shop.enricher())
    place = "shop.sales/0/"
    assert reasons(shop) == {
        place + "1": "future",
        place + "2": "late",
        place + "3": "check:units",
        place + "4": "check:price",
        place + "5": "future",
        place + "6": "check:scaled",
        place + "7": "check:price",
        place + "10": "undecodable",
    }
    assert [row["sku"] for row in shop.enriched()] == ["good", "on the edge of late", "on the edge of the future"]


def test_a_dead_letter_keeps_bytes_arrival_and_value(shop: Any) -> None:
    shop.send(("a", "s", -5, 1.0, 10_000, 10_500))
    shop.send_bytes(b"nonsense", 10_777)
    shop.drain(shop.enricher())
    by_reason = {letter.reason: letter for letter in shop.dead()}
    assert by_reason["check:units"].value["units"] == -5
    assert by_reason["check:units"].arrival == 10_500
    assert by_reason["undecodable"].value is None
    batches = shop.log.read(shop.topics.dead("sale"), 0, 0, 100)
    values = [value for batch in batches for value in batch.content.records.column("value").to_pylist()]
    assert b"nonsense" in values


def test_a_time_after_arrival_counts_as_arrival(shop: Any) -> None:
    shop.send(("a", "s", 1, 1.0, 10_900, 10_000), ("b", "s", 1, 1.0, 9_000, 10_000))
    shop.drain(shop.enricher())
    assert {row["sku"]: (row["_time"], row["_arrival"]) for row in shop.enriched()} == {
        "a": (10_000, 10_000),
        "b": (9_000, 10_000),
    }


def test_one_record_that_cannot_be_computed_spares_the_others(shop: Any) -> None:
    rows = [(f"k{n}", "s", 10**13 if n == 617 else n, 1.0, 10_000, 10_000) for n in range(1_000)]
    shop.send(*rows)
    shop.drain(shop.enricher())
    assert [letter.reason for letter in shop.dead()] == ["check:scaled"]
    assert sorted(row["units"] for row in shop.enriched()) == [n for n in range(1_000) if n != 617]


def test_the_join_waits_for_its_table_and_keeps_what_it_found(joined_shop: Any) -> None:
    shop = joined_shop
    shop.send(("a", "s1", 1, 1.0, 10_000, 10_000), ("b", "s2", 1, 1.0, 10_000, 10_000))
    shop.send(("c", "elsewhere", 1, 1.0, 10_000, 10_000))
    enricher, tables = shop.enricher(), shop.tables_role()
    assert enricher.step() == 0
    tables.step()
    shop.drain(enricher)
    assert {row["sku"]: row["region"] for row in shop.enriched()} == {"a": "north", "b": "unknown", "c": "unknown"}
    shop.write_store("s1,south\n")
    shop.now = 20_000
    tables.step()
    shop.send(("d", "s1", 1, 1.0, 20_000, 20_000))
    shop.drain(enricher)
    assert {row["sku"]: row["region"] for row in shop.enriched()} == {
        "a": "north", "b": "unknown", "c": "unknown", "d": "south",
    }  # fmt: skip


def test_under_replay_a_change_is_joined_only_behind_its_mark(joined_shop: Any) -> None:
    shop = joined_shop
    mark: list[int] = []
    tables = shop.tables_role(mark=lambda: mark[-1] if mark else None)
    mark.append(10_000)
    tables.step()
    shop.producer.mark(10_000)
    shop.send(("a", "s1", 1, 1.0, 10_500, 10_500))
    shop.producer.mark(20_000)
    shop.send(("b", "s1", 1, 1.0, 20_500, 20_500))
    shop.write_store("s1,south\n")
    mark.append(20_000)
    tables.step()  # the change is on the log before the enricher has read anything
    enricher = shop.enricher()
    shop.drain(enricher)
    assert {row["sku"]: row["region"] for row in shop.enriched()} == {"a": "north", "b": "south"}
    assert shop.log.committed("enrich").mark == 20_000
    shop.stop(enricher)
    shop.producer.mark(30_000)
    enricher = shop.enricher()
    shop.drain(enricher)
    assert shop.log.committed("enrich").mark == 20_000  # the tables have not passed 30_000
    mark.append(30_000)
    tables.step()
    shop.drain(enricher)
    assert shop.log.committed("enrich").mark == 30_000


def test_a_repaired_record_counts_once(shop: Any) -> None:
    shop.send(("a", "s", -1, 1.0, 10_000, 10_500))
    enricher = shop.enricher()
    shop.drain(enricher)
    shop.now = 90_000  # far beyond the lateness
    mend = lambda letter: {**letter.value, "units": 7}  # noqa: E731
    letters = shop.dead()
    assert replay(shop.producer, letters, mend) == 1
    replay(shop.producer, letters, mend)  # twice in one micro-batch
    shop.drain(enricher)
    replay(shop.producer, letters, mend)  # and again after it counted
    shop.drain(enricher)
    shop.stop(enricher)
    replay(shop.producer, letters, mend)  # and after a restart
    shop.drain(shop.enricher())
    (row,) = shop.enriched()
    assert (row["units"], row["_arrival"], row["_time"]) == (7, 90_000, 10_000)
    assert f"shop.sales/{row['_partition']}/{row['_offset']}" == letters[0].id
    assert len(shop.dead()) == 1


def test_a_repair_that_fails_again_keeps_its_id(shop: Any) -> None:
    shop.send(("a", "s", -1, 1.0, 10_000, 10_500))
    enricher = shop.enricher()
    shop.drain(enricher)
    shop.now = 11_000
    replay(shop.producer, shop.dead())
    shop.drain(enricher)
    first, second = shop.dead()
    assert first.id == second.id
    assert second.arrival == 11_000


@pytest.mark.parametrize(
    "header",
    [
        b"elsewhere/0/1",
        b"shop.sales/0/9223372036854775808",
        b"shop.sales/9999999999999999999999/0",
        b"shop.sales/0/" + b"9" * 5_000,
        "shop.sales/0/٣".encode(),
        b"shop.sales/0/-1",
        b"shop.sales/0/0\n",
        b"\xff\x00",
        b"",
    ],
)
def test_a_malformed_repair_is_undecodable(shop: Any, header: bytes) -> None:
    row = ("a", "s", 1, 1.0, 10_000, 10_500)
    shop.send(row, headers=[{"headrace-repairs": header}])
    enricher = shop.enricher()
    shop.drain(enricher)
    (letter,) = shop.dead()
    assert (letter.reason, letter.value["sku"]) == ("undecodable", "a")
    assert "not the id of a dead letter" in letter.detail
    assert shop.enriched() == []
    shop.now = 11_000
    assert replay(shop.producer, shop.dead()) == 1  # now it carries the id of a dead letter
    shop.drain(enricher)
    assert [row["sku"] for row in shop.enriched()] == ["a"]


def test_a_repair_of_what_is_no_dead_letter_is_undecodable(open_shop: Any) -> None:
    """A forged id would count a second time beside the good record that has it."""
    shop = open_shop(partitions=1)
    shop.send(("good", "s", 1, 1.0, 10_000, 10_500), ("bad", "s", -1, 1.0, 10_000, 10_500))
    enricher = shop.enricher()
    shop.drain(enricher)
    ids = ["shop.sales/0/0", "shop.sales/0/77", "shop.sales/7/0"]
    for _ in range(2):  # its own dead letter does not make the id one
        for forged in ids:
            header = {"headrace-repairs": forged.encode()}
            shop.send(("forged", "s", 1, 1.0, 10_000, 11_000), headers=[header])
            shop.send_bytes(b"nonsense", 11_000, headers=header)
            shop.drain(enricher)
    assert [row["sku"] for row in shop.enriched()] == ["good"]
    letters = [letter for letter in shop.dead() if letter.reason == "undecodable"]
    assert len(letters) == 12
    assert not {letter.id for letter in letters} & set(ids)
    assert {letter.detail.split(",")[0] for letter in letters if letter.value} == {
        f"the header headrace-repairs is '{forged}'" for forged in ids
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"sku": "a", "store": "s", "units": "3", "price": 1.0, "at": 5}, ["column units", "row 1", "'3'"]),
        ({"sku": "a", "store": "s", "units": True, "price": 1.0, "at": 5}, ["column units", "True"]),
        ({"sku": "a", "store": "s", "units": 2**63, "price": 1.0, "at": 5}, ["column units"]),
        ({"sku": "a", "store": "s", "price": 1.0, "at": 5}, ["column units", "missing"]),
        ({"sku": None, "store": "s", "units": 1, "at": 5}, ["column sku", "null"]),
        ({"sku": "a", "store": "s", "units": 1, "at": 5, "colour": 1}, ["column colour", "no such column"]),
    ],
)
def test_the_producer_names_what_does_not_fit(shop: Any, row: dict[str, Any], words: list[str]) -> None:
    good = {"sku": "a", "store": "s", "units": 3, "price": None, "at": 5}
    with pytest.raises(SourceError) as caught:
        shop.producer.send_rows([good, row])
    assert all(word in str(caught.value) for word in words)
    assert sum(end for _, end in shop.log.bounds("shop.sales")) == 0


def test_history_is_neither_late_nor_beyond_its_cut(shop: Any) -> None:
    times = [10_000, 19_999, 20_000, 10_000, -1]
    rows = len(times)
    raw = pa.table(
        {
            "sku": ["a"] * rows,
            "store": ["s"] * rows,
            "units": [1, 1, -1, -1, 1],
            "price": [1.0] * rows,
            "at": pa.array(times, pa.timestamp("ms")),
            "_arrival": [99_000_000, *times[1:]],
            "_file": ["0123456789abcdef"] * rows,
            "_partition": [0] * rows,
            "_offset": range(rows),
        }
    )
    enrichment = Enrichment(shop.stream, history(shop.stream, until=20_000))
    found = enrichment.apply(raw, {})
    enrichment.close()
    assert found.table.column("_offset").to_pylist() == [0, 1]
    assert set(found.table.column("_file").to_pylist()) == {"0123456789abcdef"}
    assert dict(zip(*(found.dead.column(n).to_pylist() for n in ("_row", "reason")), strict=True)) == {
        2: "covered",
        3: "check:units",
        4: "future",
    }
