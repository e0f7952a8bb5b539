"""A replay that is killed wherever, and begun again, gives what one gives that was never killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.archive.delta import Archive
from headrace.declare.duration import DAY, HOUR, MINUTE

BEGIN = 17_500 * DAY
END = BEGIN + 6 * HOUR


def outcome(world: Any) -> dict[str, Any]:
    """Predictions, enriched events and the raw topic's count, all but where they stand in the log."""
    archive = Archive(world.folder / "home" / "archive")
    log = world.profile.open_log()
    found = {
        name: archive.read(f"clicks.{name}").drop_columns(columns).to_pylist()
        for name, columns in {
            "predictions": ["_log_partition", "_log_offset"],
            "enriched.click": ["_partition", "_offset", "_log_partition", "_log_offset"],
        }.items()
    }
    found = {name: sorted(rows, key=lambda row: repr(sorted(row.items()))) for name, rows in found.items()}
    found["raw"] = log.bounds("clicks")
    log.close()
    return found


def test_a_replay_that_was_killed_goes_on_where_it_was(
    make_world: Callable[[Path], Any], replays: Any, killed: int, tmp_path: Path
) -> None:
    whole = make_world(tmp_path / "whole")
    with whole.roles():
        assert replays.run(whole, HOUR, END, 0) == 0
    expected = outcome(whole)
    assert len({row["_id"] for row in expected["predictions"]}) == len(expected["predictions"])
    assert len({row["_t"] for row in expected["predictions"]}) >= 4

    broken = make_world(tmp_path / "broken")
    with broken.roles():
        for moment in range(1, 9):
            assert replays.run(broken, HOUR, END, moment) == killed
        assert replays.run(broken, HOUR, END, 0) == 0
    assert outcome(broken) == expected


def test_another_step_or_end_appends_nothing_twice(
    make_world: Callable[[Path], Any], replays: Any, killed: int, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with world.roles():
        assert replays.run(world, HOUR, END, 4) == killed  # two transactions in, the second step is open
        opened, _ = world.marks()
        assert opened >= BEGIN
        assert replays.run(world, 20 * MINUTE, BEGIN + 90 * MINUTE, 0) == 0
        assert replays.run(world, 30 * MINUTE, END, 0) == 0
        assert replays.run(world, HOUR, END, 0) == 0
    found = outcome(world)
    assert len(found["enriched.click"]) == 9_000
    assert world.marks() == [END, END]
