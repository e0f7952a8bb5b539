"""The four steps of training, as plain functions over files: preprocess, train, evaluate, register.

Each can be called and debugged alone; the pipeline's components only call them. A step reads what the step before
it wrote, so that none sees more than it should: training never sees the holdout.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.declare.declaration import Feature
from headrace.declare.duration import duration_text
from headrace.declare.load import read_project
from headrace.errors import TrainingError
from headrace.models.artifact import Span, Spec, load, restate, save, verify
from headrace.models.baseline import Baseline
from headrace.models.comparison import compare, predictions, score
from headrace.models.encoding import Encoding, Matrix
from headrace.models.formats import format_named, format_of
from headrace.models.metrics import Task, metrics
from headrace.models.registry import Registry
from headrace.training.deciding import decided
from headrace.training.gates import Evidence, Finding, findings, stop
from headrace.training.parameters import Parameter, parameters_of
from headrace.training.runs import REPORT
from headrace.training.splits import date, split

TRAIN: Final = "train.parquet"
HOLDOUT: Final = "holdout.parquet"
FACTS: Final = "facts.json"

Facts = dict[str, Any]
"""What a step has to tell, as JSON; `summary` is a line for people."""


def preprocess(
    project: str, archive: str, until: int, holdout: int, out: str, pinned: Mapping[str, int] | None = None
) -> Facts:
    """Draws the training set from the archive and splits it by time; writes it to the folder `out`.

    project: the project file. archive: folder or URI. until: ms; what arrived later does not count. holdout: ms.
    pinned: the version of each topic's table, where one that is not named has none; None: the newest of all.
    """
    from headrace.archive.columns import schemas
    from headrace.archive.delta import Archive
    from headrace.features.training_set import training_set

    declaration = read_project(Path(project))
    store = Archive(archive, schemas(declaration))
    versions = store.versions() if pinned is None else pinned
    read: dict[str, int] = {}

    def records(topic: str) -> pa.Table:
        version = versions.get(topic)
        if version is None:
            return store.nothing(topic) if pinned is not None else store.read(topic)
        read[topic] = version
        return store.read(topic, version)

    found = training_set(declaration, records, until)
    parts = split(found.table.column("t").to_numpy(), holdout, declaration.maturity)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    trained, held = found.table.filter(pa.array(parts.train)), found.table.filter(pa.array(parts.holdout))
    pq.write_table(trained, folder / TRAIN)
    pq.write_table(held, folder / HOLDOUT)
    embargoed = found.table.num_rows - trained.num_rows - held.num_rows
    seen = findings(Evidence.of(declaration, trained, held))
    facts = {
        "project": declaration.name,
        "declaration": declaration.digest,
        "until": until,
        "cut": parts.cut,
        "embargo": declaration.maturity,
        "train": trained.num_rows,
        "holdout": held.num_rows,
        "embargoed": embargoed,
        "immature": found.immature,
        "unlabelled": found.unlabelled,
        "first_version_rows": dict(found.first_version_rows),
        "data": read,
        "findings": [finding.to_json() for finding in seen],
        "waivers": [asdict(waiver) for waiver in declaration.waivers],
        "summary": f"{trained.num_rows:,} examples to train on, {held.num_rows:,} held out from {date(parts.cut)}; "
        f"left out: {embargoed:,} embargoed ({duration_text(declaration.maturity)}), {found.immature:,} immature, "
        f"{found.unlabelled:,} without a label" + "".join(f"; {finding}" for finding in seen if finding.stops),
    }
    _write_json(folder / FACTS, facts)
    return facts


def train(project: str, dataset: str, parameters: Mapping[str, Parameter], out: str) -> Facts:
    """Trains the declared model on the training part of a dataset; writes a draft artifact, without metrics.

    The generators of `random` and numpy are seeded with the declared seed, so that an estimator without a
    random_state is repeatable (XGBoost's own is 0 when none is given).
    """
    declaration = read_project(Path(project))
    chosen = parameters_of(declaration.model, parameters)
    facts = _read_json(Path(dataset) / FACTS)
    if facts["declaration"] != declaration.digest:
        raise TrainingError(
            f"dataset {dataset}", "the project file was changed after it was made", "run preprocess again"
        )
    table = pq.read_table(Path(dataset) / TRAIN)
    task, label = declaration.model.task, table.column("label").to_numpy()
    if task == "classification" and len(np.unique(label)) < 2:
        raise TrainingError(
            f"label {declaration.label.name}",
            f"it is {bool(label[0])} in all {len(label)} training examples",
            "bring more history, or check the label's expression",
        )
    encoding = Encoding.frozen(declaration.features, table)
    random.seed(declaration.model.seed)
    np.random.seed(declaration.model.seed)
    y = label.astype(np.int8) if task == "classification" else label.astype(np.float64)
    model = declaration.model.function(encoding.frame(table), y, **chosen)
    library = format_named(format_of(model)).open().version()
    times, matrix = table.column("t").to_numpy(), encoding.table_matrix(table)
    spec = Spec(
        project=declaration.name,
        declaration=declaration.digest,
        task=task,
        label=declaration.label.name,
        encoding=encoding,
        parameters=chosen,
        seed=declaration.model.seed,
        library=library,
        trained=_span(times),
        holdout=_span(pq.read_table(Path(dataset) / HOLDOUT, columns=["t"]).column("t").to_numpy()),
        embargo=facts["embargo"],
        data=facts["data"],
        baselines={feature.name: _baseline(feature, encoding, matrix, table) for feature in declaration.features},
        cost=declaration.model.cost,
    )
    digest = save(Path(out), model, spec, matrix)
    fitted = load(Path(out)).predict_table(table)
    _check(task, fitted, spec)
    named = ", ".join(f"{name}={value}" for name, value in chosen.items())
    return {
        "sha256": digest,
        "library": spec.library,
        "summary": f"{spec.library} on {len(label):,} examples x {len(encoding.columns)} features ({named})",
    }


def evaluate(dataset: str, draft: str, registry: str, sealed: str, report: str) -> Facts:
    """Judges a draft on the holdout, beside the naive forecast and the champion; writes artifact and report.

    The report (JSON): `model`, `naive` and `champion` have the metrics on the whole holdout, or, where a cost is
    declared, on its newer half, since the older one chose the `threshold`; `comparison` has those of challenger and
    champion on the examples of which neither has seen anything, for the promotion. `naive` counts the examples for
    which there is a naive forecast. sealed: the folder of the artifact with its metrics. Beside the report
    `report.html` shows it to people (`headrace.training.report`).
    """
    from headrace.training.report import Material, write

    artifact = load(Path(draft))
    spec = artifact.spec
    held = pq.read_table(Path(dataset) / HOLDOUT)
    predicted = artifact.predict_table(held)
    _check(spec.task, predicted, spec)
    baseline = Baseline.of_numbers(predicted)
    artifact, held = decided(artifact, held, predicted)
    spec, label = artifact.spec, held.column("label").to_numpy()
    found = score(spec, spec.cost, held, predicted[-held.num_rows :])
    digest = restate(Path(draft), Path(sealed), metrics=found, prediction=baseline, threshold=spec.threshold)

    guess = held.column("naive").to_numpy().astype(np.float64)
    known = ~np.isnan(guess)
    facts = _read_json(Path(dataset) / FACTS)
    result: Facts = {
        "task": spec.task,
        "train": vars(spec.trained),
        "holdout": vars(spec.holdout),
        "threshold": None if spec.threshold is None else vars(spec.threshold),
        "model": found,
        "naive": metrics(spec.task, label[known], guess[known]),
        "champion": None,
        "comparison": None,
        "findings": facts["findings"],
    }
    models = Registry(registry, spec.project)
    champion, best = models.champion(), None
    if champion is not None:
        best = models.load(champion)
        theirs = predictions(best, held)
        result["champion"] = {
            "version": champion.number,
            "metrics": None if theirs is None else score(best.spec, spec.cost, held, theirs),
        }
        both = compare(best, artifact, held)
        if both.champion is not None:
            result["comparison"] = {
                "examples": both.examples,
                "challenger": both.challenger,
                "champion": both.champion,
            }
    _write_json(Path(report), result)
    began = time.perf_counter()
    page = Path(report).with_name(REPORT)
    write(Material.of(artifact, best, pq.read_table(Path(dataset) / TRAIN), held, facts, result), page)
    drawn = f"; report drawn in {time.perf_counter() - began:.1f} s"
    return {"sha256": digest, "report": result, "page": str(page), "summary": _told(result) + drawn}


def register(
    sealed: str,
    report: str,
    registry: str,
    project: str,
    drawn: Mapping[str, Any] | None = None,
    page: str | None = None,
) -> Facts:
    """Records the run and registers the artifact: as champion where there is none, else as challenger.

    TrainingError, and nothing is recorded, where a gate has found what nobody waived. project: the project file,
    for the commit of the repository that it lies in, if any. drawn: `archive`, `until`, `holdout` and `job` of the
    pipeline, for who wants the same again; a job registers once. page: of the report.
    """
    from headrace.training.registering import record_of

    artifact = Path(sealed)
    spec, sha256 = verify(artifact)
    judged = _read_json(Path(report))
    stop(spec.project, [Finding.from_json(finding) for finding in judged["findings"]])
    models = Registry(registry, spec.project)
    version = models.of_job((drawn or {}).get("job"))
    if version is None:
        tags, run = record_of(models, spec, sha256, judged, _commit(Path(project)), drawn or {}, page)
        version = models.register(artifact, run, tags)
    alias = models.nominate(version)
    return {
        "version": version.number,
        "alias": alias,
        "run": version.run_id,
        "sha256": sha256,
        "summary": f"version {version.number} is the {alias}, sha256 {sha256[:12]}",
    }


def _span(times: Any) -> Span:
    return Span(int(times.min()), int(times.max()), len(times))


def _baseline(feature: Feature, encoding: Encoding, matrix: Matrix, table: pa.Table) -> Baseline:
    if feature.type.kind == "str":
        return Baseline.of_levels(table.column(feature.name).to_pylist())
    numbers = matrix[:, encoding.names.index(feature.name)]
    return Baseline.of_bools(numbers) if feature.type.kind == "bool" else Baseline.of_numbers(numbers)


def _check(task: Task, predicted: Any, spec: Spec) -> None:
    """Refuses a model whose predictions are not numbers, or not probabilities where they should be."""
    if not np.isfinite(predicted).all():
        raise TrainingError(f"model of {spec.project}", "it predicts what is not a number", "check its objective")
    if task == "classification" and ((predicted < 0) | (predicted > 1)).any():
        raise TrainingError(
            f"model of {spec.project}",
            f"it predicts {predicted.min():g} to {predicted.max():g}, which are not probabilities",
            "use an objective such as binary:logistic",
        )


def _told(report: Mapping[str, Any]) -> str:
    names = ("mae", "rmse", "mape", "auc", "average_precision", "log_loss", "cost")
    rows = {"model": report["model"], "naive": report["naive"]}
    if report["champion"] is not None and report["champion"]["metrics"] is not None:
        rows[f"champion {report['champion']['version']}"] = report["champion"]["metrics"]
    return "; ".join(
        f"{who}: " + ", ".join(f"{name} {_number(found[name])}" for name in names if name in found)
        for who, found in rows.items()
    )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def _commit(project: Path) -> str | None:
    """The commit that is checked out where the project file lies, `-dirty` when the file differs from it."""
    git = shutil.which("git")
    if git is None:
        return None
    at = [git, "-C", str(project.parent)]
    found = subprocess.run([*at, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return None
    changed = subprocess.run([*at, "diff", "--quiet", "HEAD", "--", str(project)], capture_output=True, check=False)
    return found.stdout.strip() + ("-dirty" if changed.returncode else "")


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> Facts:
    try:
        found: Facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TrainingError(f"{path}", "there is no such file", "run the step before this one") from error
    return found
