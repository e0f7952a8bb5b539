"""Week by week over history: the first model, never retrained, beside retraining every week.

At the beginning of each week the real steps (preprocess, train, evaluate) see what had arrived by then, with the
embargo until labels are final; the models then score the week's payments, with features as they would have been
served, and are judged by the chargebacks of the days after. `policy` takes a week's new model only where it beats
the reigning one by the declared condition, on payments that neither has learned anything of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from headrace.archive.columns import schemas
from headrace.archive.delta import Archive
from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.features.training_set import training_set
from headrace.models.artifact import Artifact, load
from headrace.models.comparison import score
from headrace.models.costs import Costs
from headrace.models.metrics import precision_at
from headrace.profiles import read_profile
from headrace.retraining.promotion import contest
from headrace.roles.archive import catch_up
from headrace.roles.context import Context
from headrace.stream.tables import load_once
from headrace.training import steps

WEEK = 7 * DAY
A_DAY = 100
"""Payments that a team can look into each day."""
NAMES = {"never": "never retrained", "weekly": "every week", "policy": "every week, if better"}


@dataclass(frozen=True)
class Scores:
    """Of one forecaster in one week. precision: at 100 a day. cost: of its decisions, per 1,000 payments."""

    average_precision: float | None
    precision: float | None
    cost: float | None
    recall: float | None


@dataclass(frozen=True)
class Week:
    """One week. best: the precision at 100 a day of one who knows; all_no: the cost of flagging nothing."""

    begin: int
    payments: int
    frauds: int
    best: float | None
    all_no: float | None
    promoted: bool
    scores: dict[str, Scores]


def know_tables(project: Path, home: Path, at: int) -> None:
    """Loads the declared tables as known from an instant (ms) on. (A backfill takes them as known at its cut.)"""
    declaration = read_project(project)
    profile = read_profile(declaration, home=home)
    load_once(declaration, profile.open_log(), profile.open_schemas(), at)
    catch_up(Context.of("archive", declaration, profile))


def weekly(project: Path, home: Path, work: Path, first: int, until: int) -> Iterator[Week]:
    """The weeks from `first` (ms) on whose labels are final at `until`, one after the other.

    home: where history was brought in. work: a folder for data sets and models.
    """
    declaration = read_project(project)
    archive = Archive(read_profile(declaration, home=home).open_archive(declaration).uri, schemas(declaration))
    drawn = training_set(declaration, archive.read, until).table
    never = champion = train(declaration, archive, first, work)[0]
    for begin in range(first, until - WEEK - declaration.maturity + 1, WEEK):
        weekly, held = (never, None) if begin == first else train(declaration, archive, begin, work)
        promoted = held is not None and contest(declaration.retrain.promote, champion, weekly, held).promote
        champion = weekly if promoted else champion
        times = drawn.column("t").to_numpy()
        payments = drawn.filter(pa.array((times >= begin) & (times < begin + WEEK)))
        yield judged(begin, payments, promoted, {"never": never, "weekly": weekly, "policy": champion})


def train(declaration: Declaration, archive: Archive, until: int, work: Path) -> tuple[Artifact, pa.Table]:
    """A model of what had arrived by an instant (ms), and what it held out."""
    folder = work / str(until)
    dataset, draft, sealed = (str(folder / name) for name in ("dataset", "draft", "sealed"))
    project, registry = str(declaration.path), f"sqlite:///{work / 'mlflow.db'}"
    steps.preprocess(project, archive.uri, until, declaration.retrain.holdout, dataset)
    steps.train(project, dataset, {}, draft)
    with redirect_stdout(StringIO()):  # the registry tells of its tables
        steps.evaluate(dataset, draft, registry, sealed, str(folder / "report.json"))
    return load(Path(sealed)), pq.read_table(Path(dataset) / steps.HOLDOUT)


def judged(begin: int, payments: pa.Table, promoted: bool, models: dict[str, Artifact]) -> Week:
    """Each model on the payments of a week."""
    label, day = payments.column("label").to_numpy(), payments.column("t").to_numpy() // DAY
    (cost,) = {model.spec.cost for model in models.values()}
    assert cost is not None
    scores = {}
    for name, model in models.items():
        predicted = model.predict_table(payments)
        found = score(model.spec, cost, payments, predicted)
        scores[name] = Scores(
            found["average_precision"], precision_at(A_DAY, day, label, predicted), found["cost"], found["recall"]
        )
    nothing = Costs.of(cost, payments).told(label, label & False)
    best = precision_at(A_DAY, day, label, label)
    return Week(begin, payments.num_rows, int(label.sum()), best, nothing, promoted, scores)


def table(weeks: Sequence[Week], first: int, phases: dict[str, int]) -> Table:
    """For people. phases: the world's week in which each begins, of which `first` is the first shown."""
    found = Table(title="per week: average precision | precision at 100 a day | cost per 1,000 payments")
    for column in ("week", "the adversary", "frauds", *NAMES.values(), "at most", "no alarm"):
        found.add_column(column)
    for number, week in enumerate(weeks, first):
        begun = [phase for phase, at in phases.items() if at <= number]
        told = [
            f"{_text(one.average_precision)} | {_text(one.precision)} | {_text(one.cost, 0)}"
            for one in (week.scores[name] for name in NAMES)
        ]
        told[-1] += "  promoted" if week.promoted else ""
        found.add_row(
            str(number), begun[-1], str(week.frauds), *told, f"1 | {_text(week.best)}", _text(week.all_no, 0)
        )
    return found


def means(weeks: Sequence[Week]) -> dict[str, dict[str, float]]:
    """The means over weeks, by forecaster."""
    return {
        name: {
            field: sum(getattr(week.scores[name], field) or 0.0 for week in weeks) / len(weeks)
            for field in Scores.__annotations__
        }
        for name in NAMES
    }


def show(weeks: Sequence[Week], first: int, phases: dict[str, int]) -> None:
    Console(width=140).print(table(weeks, first, phases))


def _text(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
