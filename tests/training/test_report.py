"""The report of a really trained model, opened in a real Chromium."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from headrace.errors import StackError, TrainingError
from headrace.models.artifact import load
from headrace.models.registry import Registry
from headrace.models.xgboost_format import BoosterPredictor
from headrace.stack.packages import CHROMIUM, install
from headrace.training import steps
from headrace.training.report import Material, sections, write
from headrace.training.report.chart import Chart, bars, names_axis
from headrace.training.report.page import page
from headrace.training.report.section import Section, Table
from headrace.training.runs import REPORT, Runs

SECTIONS = ["trained", "gates", "rivals", "errors", "importance", "shap", "correlations", "distributions"]
PICTURED = SECTIONS[2:]
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


def contributions(self: Any, matrix: Any) -> Any:
    import xgboost

    names, kinds = self.booster.feature_names, self.booster.feature_types
    return self.booster.predict(
        xgboost.DMatrix(matrix, feature_names=names, feature_types=kinds), pred_contribs=True
    )


@dataclass(frozen=True)
class Judged:
    """A run up to its report, of a second model beside a champion."""

    folder: Path
    project: str
    registry: str

    @property
    def page(self) -> Path:
        return self.folder / REPORT

    def material(self) -> Material:
        artifact = load(self.folder / "sealed")
        train, held = (pq.read_table(self.folder / "dataset" / f"{part}.parquet") for part in ("train", "holdout"))
        facts, judged = (json.loads((self.folder / f).read_text()) for f in ("dataset/facts.json", "report.json"))
        return Material.of(artifact, load(self.folder / "first"), train, held, facts, judged)


@pytest.fixture(scope="module", params=["inventory", "fraud"])
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    filled, home = request.getfixturevalue(request.param), tmp_path_factory.mktemp("run")
    project, registry = str(filled.declaration.path), f"sqlite:///{home}/models/mlflow.db"
    dataset, report = str(home / "dataset"), str(home / "report.json")
    holdout = filled.declaration.retrain.holdout * (3 if request.param == "inventory" else 1)
    steps.preprocess(project, str(filled.home / "archive"), filled.until, holdout, dataset)
    with pytest.MonkeyPatch.context() as patch:
        if not hasattr(BoosterPredictor, "contributions"):
            patch.setattr(BoosterPredictor, "contributions", contributions, raising=False)
        for sealed, depth in (("first", 2), ("sealed", 3)):
            steps.train(project, dataset, {"max_depth": depth, "trees": 20}, str(home / f"{sealed}-draft"))
            steps.evaluate(dataset, str(home / f"{sealed}-draft"), registry, str(home / sealed), report)
            steps.register(str(home / sealed), report, registry, project)
        yield Judged(home, project, registry)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    try:
        install([CHROMIUM])
        program = CHROMIUM.program()
    except StackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has no Chromium: {error}")
        pytest.skip(f"no Chromium is here: {error}")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(program), args=QUIET)
        yield running
        running.close()


Opened = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """Opens a file and gives its page when all is drawn; at the end nothing was asked for, nothing complained."""
    complaints: list[str] = []
    asked: list[str] = []
    contexts, files = [], []

    def open_file(file: Path, width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        tab = context.new_page()
        tab.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append("a dialog"))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        tab.wait_for_selector("html[data-drawn]", state="attached", timeout=120_000)
        contexts.append(context)
        files.append(file.as_uri())
        return tab

    yield open_file
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == files


def drawn(tab: Any) -> dict[str, list[int]]:
    """By section, for each plot how many marks of data are drawn in it: none is larger than its place."""
    found: dict[str, list[int]] = tab.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("section")].map((section) => [section.id,
            [...section.querySelectorAll(".plot")].map((plot) => {
                const box = plot.getBoundingClientRect(), svg = plot.querySelector("svg.main-svg");
                if (!svg || svg.getBoundingClientRect().width > box.width + 1) return -1;
                return plot.querySelectorAll(".points path, .point, .lines path, .heatmaplayer image").length;
            })]))"""
    )
    return found


def test_everything_is_drawn_and_nothing_is_loaded(judged: Judged, opened: Opened, tmp_path: Path) -> None:
    tab = opened(judged.page)
    marks = drawn(tab)
    assert list(marks) == SECTIONS
    assert all(marks[name] and min(marks[name]) > 0 for name in PICTURED), marks
    features = len(load(judged.folder / "sealed").spec.encoding.columns)
    assert len(marks["distributions"]) == features
    for who in ("model", "champion (version 1)", "naive"):
        assert tab.locator("#rivals th", has_text=who).first.is_visible()
    tab.screenshot(path=tmp_path / "report.png", full_page=True)
    assert (tmp_path / "report.png").stat().st_size > 50_000

    # By keyboard: past the contents, and from the contents to each section.
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    for name in SECTIONS:
        tab.locator(f'nav a[href="#{name}"]').focus()
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == name
        top, rest = tab.evaluate(
            f"[document.getElementById('{name}').getBoundingClientRect().top,"
            " document.documentElement.scrollHeight - innerHeight - scrollY]"
        )
        assert -1 <= top < 100 or rest <= 1


@pytest.mark.parametrize("judged", ["fraud"], indirect=True)
def test_it_fits_a_phone_and_follows_the_scheme(judged: Judged, opened: Opened) -> None:
    tab = opened(judged.page, width=400, scheme="dark")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert all(min(drawn(tab)[name]) > 0 for name in PICTURED)
    look = "[document.body, document.querySelector('.plot .xtick text')].map((one) => getComputedStyle(one))"
    look = f"{look}.map((style, place) => place ? style.fill : style.backgroundColor)"
    dark = tab.evaluate(look)
    tab.emulate_media(color_scheme="light")
    tab.wait_for_selector("html[data-drawn=light]", state="attached", timeout=120_000)
    light = tab.evaluate(look)
    assert _bright(dark[0]) < 60 < 200 < _bright(light[0])
    assert _bright(dark[1]) > 180 > 80 > _bright(light[1])


def _bright(colour: str) -> float:
    return float(np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]]))


def test_names_are_shown_and_never_run(opened: Opened, tmp_path: Path) -> None:
    evil = '</script><script>alert(1)</script><img src="http://nowhere.invalid/x.png" onerror="alert(2)"><b>bold'
    chart = Chart(evil, evil, [bars([evil, f"{evil}!"], [1, 2])], {"yaxis": names_axis([evil, f"{evil}!"])})
    file = tmp_path / "evil.html"
    file.write_text(page(evil, evil, [Section("one", evil, [evil, Table((evil,), [(evil,)], evil), chart])]))
    tab = opened(file)
    assert tab.title() == evil
    assert tab.locator("td, tbody th").first.inner_text() == evil
    assert tab.locator(".ytick text").first.text_content().startswith("</script><script>")
    assert tab.locator("svg b, svg img, main img, main b").count() == 0


def test_figures_are_what_plotly_knows(judged: Judged) -> None:
    import plotly.graph_objects as go

    charts = [part for section in sections(judged.material()) for part in section.parts if isinstance(part, Chart)]
    assert len(charts) > 20
    for chart in charts:
        go.Figure(chart.figure)  # ValueError for what it does not
        assert chart.told


def test_the_same_run_gives_the_same_page(judged: Judged, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write(judged.material(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_model_that_cannot_be_explained_has_a_sentence(judged: Judged) -> None:
    from dataclasses import replace

    [section] = [each for each in sections(replace(judged.material(), contributions=None)) if each.name == "shap"]
    assert [part for part in section.parts if isinstance(part, Chart)] == []
    assert "xgboost cannot be explained" in str(section.parts[0])


PLANTED = """        "over_sector": request.amount / recent.sector_1d.nullif(0.0),
        "again": request.amount * 2.0,
        "fixed": request.amount.isnull(),
"""


@pytest.fixture
def faulty(fraud: Any, tmp_path: Path) -> Path:
    """The fraud project with a feature that repeats another, and one that never changes."""
    source = fraud.declaration.path.read_text()
    last = '        "over_sector": request.amount / recent.sector_1d.nullif(0.0),\n'
    assert last in source
    file = tmp_path / "project.py"
    file.write_text(source.replace(last, PLANTED).replace("trees: int = 60", "trees: int = 5"))
    return file


def test_a_finding_stops_the_command(faulty: Path, fraud: Any, place: Path) -> None:
    """Both findings are told at once with what waives them; nothing is registered; the report is there."""
    (place / "archive").symlink_to(fraud.home / "archive")
    command = [sys.executable, "-m", "headrace", "train", str(faulty), "--home", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = done.stderr.strip().splitlines()[-1]
    assert told.startswith("error: gates of fraud: multicollinearity finds again: it repeats amount")
    assert "constants finds fixed: it is 0 in all" in told
    assert 'fraud.waive("multicollinearity", feature="again", because="...")' in told
    assert 'fraud.waive("constants", feature="fixed", because="...")' in told
    assert Registry(f"sqlite:///{place}/models/mlflow.db", "fraud").champion() is None
    report = Runs(place / "training", "fraud").report()
    assert str(report) in told
    text = report.read_text()
    assert "The run stops for 2 of these" in text
    assert "STOPS. To waive it: fraud.waive(" in text


def test_waivers_let_it_register_and_the_run_keeps_their_reasons(
    faulty: Path, fraud: Any, place: Path, tmp_path: Path
) -> None:
    def ended(*waived: tuple[str, str, str]) -> Path:
        lines = [f"fraud.waive({gate!r}, feature={feature!r}, because={why!r})" for gate, feature, why in waived]
        faulty.write_text("\n".join([faulty.read_text(), *lines]) + "\n")
        dataset, draft, sealed = (str(tmp_path / name) for name in ("dataset", "draft", "sealed"))
        report, registry = tmp_path / "report.json", f"sqlite:///{place}/models/mlflow.db"
        holdout = fraud.declaration.retrain.holdout
        steps.preprocess(str(faulty), str(fraud.home / "archive"), fraud.until, holdout, dataset)
        steps.train(str(faulty), dataset, {}, draft)
        steps.evaluate(dataset, draft, registry, sealed, str(report))
        steps.register(sealed, str(report), registry, str(faulty))
        return report

    with pytest.raises(TrainingError) as stopped:
        ended(("multicollinearity", "again", "kept for a comparison"))
    assert "fixed" in stopped.value.cause
    assert "again" not in stopped.value.cause
    report = ended(("constants", "fixed", "it will change"), ("nulls", "risk", "just in case"))
    assert {each["waived"] for each in json.loads(report.read_text())["findings"]} == {
        "kept for a comparison", "it will change",
    }  # fmt: skip
    text = report.with_name(REPORT).read_text()
    assert "waived: it will change" in text
    assert "Waivers that this run did not need" in text
    assert "just in case" in text


def test_a_run_is_found_by_name_and_by_version(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "shop")
    first, second, third = (runs.begin() for _ in range(3))
    for number, run in enumerate((first, second, third), 1):
        os.utime(run, (number, number))
    for number, run in enumerate((first, second), 1):
        (run / REPORT).write_text("")
        runs.note(run, number)
        os.utime(run, (number, number))
    assert runs.report() == second / REPORT  # the third has none yet
    assert runs.report("1") == runs.report(first.name) == first / REPORT
    with pytest.raises(TrainingError, match="before it had a report"):
        runs.report(third.name)
    with pytest.raises(TrainingError, match="run 9 of shop"):
        runs.report("9")
