"""A project that is wrong is refused when it is loaded: the error names the object, the cause and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.compile.load import load
from headrace.declare.declaration import Lookup
from headrace.errors import DeclarationError

GOOD = """
import headrace as hr
from headrace import Float, Int, Null, Str, Stream, Table, Time, future, window

class Supplier(Table, source="suppliers.csv", key="sku"):
    sku: Str
    category: Str
    lead_days: Int

class Sale(Stream, topic="shop.sales", key="sku", time="sold_at", lateness="10m"):
    sku: Str
    region: Str
    units: Int
    price: Float
    sold_at: Time

demand = hr.Project("demand", entity=("sku", "region"))

@demand.check(Sale)
def valid(sale):
    return {"units": sale.units >= 0}

@demand.enrich(Sale, Supplier)
def sales(sale, supplier):
    return {"category": supplier.category.fill_null("other"), "revenue": sale.units * sale.price}

@demand.windows(Sale, every="1h")
def history(sale):
    return {"sales_7d": window.rate(sale.units, "7d", per="1d", by="sku"),
            "category_7d": window.sum(sale.revenue, "7d", by=("category", "region"))}

@demand.features
def now(request, history, supplier, calendar):
    return {"day": calendar.day_of_week, "sales": history.sales_7d, "lead": supplier.lead_days,
            "where": request.category + ":" + request.region}

@demand.label(Sale, examples=hr.grid("7d", active="28d"))
def units_next_7d(sale):
    return future.sum(sale.units, "7d")

@demand.model(seed=1)
def train(x, y, depth: int = 6):
    return None

demand.monitor(mae=hr.rises(0.1), psi=hr.above(0.2))
demand.retrain(on=("mae",), promote=hr.better("mae", by=0.01))
"""

WRONG = {
    "unknown column in a check": ("sale.units >= 0", "sale.unit >= 0", "stream Sale", "'unit'", "'units'"),
    "unknown column in a feature": ("history.sales_7d", "history.sales_8d", "history", "sales_8d", "sales_7d"),
    "hop does not divide": ('every="1h"', 'every="5h"', "windows history.sales_7d", "5h", "every="),
    "too many tiles": ('every="1h"', 'every="1m"', "windows history.sales_7d", "10081 tiles", "hop"),
    "outside the allow-list": (
        '"sales": history.sales_7d',
        '"sales": history.sales_7d.cast("string")',
        "features.sales",
        "",
        "",
    ),
    "window looks ahead": ('window.rate(sale.units, "7d", per="1d", by="sku")', 'future.sum(sale.units, "7d")',
                           "windows history.sales_7d", "leak", "window"),
    "label as a feature": ('"day": calendar', '"units_next_7d": calendar', "now.units_next_7d", "leak", "rename"),
    "label as a parameter": ("def now(request,", "def now(units_next_7d, request,", "features now", "leak", "drop"),
    "no such parameter": ("def now(request,", "def now(weather, request,", "features now", "'weather'", "calendar"),
    "unknown key of a stream": ('key="sku", time', 'key="shop", time', "stream Sale", "'shop'", "key="),
    "time that is no time": ('time="sold_at"', 'time="price"', "stream Sale", "'price'", "Time"),
    "key that cannot be known": ('by="sku")', 'by="units")', "windows history.sales_7d", "'units'", "entity="),
    "key that is a float": ('by="sku")', 'by="price")', "windows history.sales_7d", "'price'", "text"),
    "name taken by the stream": ('"revenue": ', '"units": ', "enrich sales.units", "Sale", "rename"),
    "not a duration": ('lateness="10m"', 'lateness="ten"', "stream Sale", "'ten'", "7d"),
    "two rules of a metric": ("demand.retrain(", "demand.monitor(mae=hr.above(1))\ndemand.retrain(", "monitor mae",
                              "twice", "keep one"),
    "unmonitored trigger": ('on=("mae",)', 'on=("rmse",)', "retrain", "'rmse'", "monitor(rmse"),
    "unknown metric": ("psi=hr", "psy=hr", "monitor psy", "no such metric", "psi"),
    "metric of another task": ("mae=hr.rises(0.1)", "auc=hr.falls(0.1), mae=hr.rises(0.1)", "monitor auc",
                               "regression", "use one of mae, rmse, mape"),
    "promotion by a metric of another task": ('hr.better("mae"', 'hr.better("auc"', "retrain", "regression", "mae"),
    "psi without a reference": ("psi=hr.above", "psi=hr.rises", "monitor psi", "rises", "use above"),
    "an error that falls": ("mae=hr.rises", "mae=hr.falls", "monitor mae", "falls", "rises or above"),
    "not a column type": ("units: Int", "units: int", "Sale.units", "int", "Null"),
    "reserved name": ("price: Float", "_price: Float", "Sale._price", "system", "rename"),
    "time zone": ('"region"))\n\n@demand.check', '"region"), timezone="Mars")\n\n@demand.check', "project demand",
                  "Mars", "UTC"),
    "time zone that is a folder": ('"region"))\n\n@demand.check', '"region"), timezone="America")\n\n@demand.check',
                  "project demand", "America", "UTC"),
    "parameter without a default": ("depth: int = 6", "depth: int", "model train", "'depth'", "number"),
    "sum of text": ("window.sum(sale.revenue", "window.sum(sale.region", "windows history", "Str", "number"),
    "join column missing": ("enrich(Sale, Supplier)", 'enrich(Sale, Supplier, on={"sku": "code"})', "enrich sales",
                            "'code'", "on="),
    "syntax": ("def valid(sale):", "def valid(sale:", "project", "imported", "correct"),
    "two labels": ("@demand.model", "@demand.label(Sale, examples=hr.grid('7d', active='7d'))\n"
                   "def more(sale):\n    return future.count('7d')\n\n@demand.model", "project demand", "", "keep"),
    "cannot be evaluated": ("sale.units * sale.price", "sale.units + sale.region", "enrich sales", "", "columns"),
    "division by zero": ("sale.units * sale.price", "sale.units % 0", "enrich sales", "", ""),
    "reserved feature": ('"day": calendar', '"label": calendar', "now.label", "system", "rename"),
    "pipeline parameter": ("depth: int = 6", "holdout: int = 6", "model train", "pipeline", "rename"),
    "label of text": ("future.sum(sale.units", "future.max(sale.region", "label units_next_7d", "Str", "number"),
    "on= of no key": ("enrich(Sale, Supplier)", 'enrich(Sale, Supplier, on={"skuu": "region"})', "enrich sales",
                      "'skuu' is not a key", "sku"),
    "name that is no text": ('hr.Project("demand"', "hr.Project(7", "project 7", "prefix", "letters"),
    "one table by two columns": ("@demand.windows", "@demand.enrich(Sale, Supplier, on={'sku': 'region'})\n"
                                 "def more(sale, supplier):\n    return {'lead': supplier.lead_days}\n\n"
                                 "@demand.windows",
                                 "enrich more", "by region, and another enrichment of Sale by sku", "on="),
    "one name for two expressions": (
        "@demand.windows",
        "class Offer(Stream, topic='shop.offers', key='sku', time='at'):\n"
        "    sku: Str\n    region: Str\n    at: Time\n\n"
        "@demand.enrich(Offer)\ndef offers(offer):\n    return {'category': offer.region}\n\n@demand.windows",
        "column category of enriched offer", "sale has a column of this name from another expression", "rename"),
    "grid that stands still": ('hr.grid("7d"', 'hr.grid("0s"', "grid", "'0s' is no time", "longer"),
    "no one is active": ('active="28d"', 'active="0d"', "grid", "'0d' is no time", "longer"),
    "hop of nothing": ('every="1h"', 'every="0s"', "windows history", "'0s' is no time", "longer"),
    "window of nothing": ('"7d", per="1d"', '"0s", per="1d"', "window.rate", "'0s' is no time", "longer"),
    "rate per nothing": ('per="1d"', 'per="0h"', "window.rate", "'0h' is no time", "longer"),
    "future of nothing": (
        'future.sum(sale.units, "7d")', 'future.sum(sale.units, "0s")', "future.sum", "'0s'", "longer"),
    "refresh of nothing": (
        'key="sku"):\n    sku: Str\n    category',
        'key="sku", refresh="0s"):\n    sku: Str\n    category',
                           "table Supplier", "'0s' is no time", "longer"),
    "longer than time": ('active="28d"', 'active="99999999999d"', "grid", "longer than a hundred years", "shorter"),
    "digits of another script": ('active="28d"', 'active="٢d"', "grid", "not a duration", "7d"),
    "not a stream": (
        "@demand.check(Sale)", "@demand.check('Sale')", "project demand", "'Sale' is not a Stream", "class"),
    "not a table": ("enrich(Sale, Supplier)", "enrich(Sale, Sale)", "project demand", "is not a Table", "class"),
    "no examples": (
        'examples=hr.grid("7d", active="28d")', 'examples="7d"', "project demand", "draws none", "grid"),
    "duplicate windows": ("@demand.features", "@demand.windows(Sale)\ndef history(sale):\n    return {}\n\n"
                          "@demand.features", "windows history", "two", "rename"),
}  # fmt: skip


def write(folder: Path, text: str) -> Path:
    file = folder / "project.py"
    file.write_text(text)
    return file


def test_the_good_project_loads(tmp_path: Path) -> None:
    declaration = load(write(tmp_path, GOOD))
    assert [feature.name for feature in declaration.features] == ["day", "sales", "lead", "where"]


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_project_is_refused(case: str, tmp_path: Path) -> None:
    old, new, subject, cause, remedy = WRONG[case]
    assert GOOD.count(old) >= 1
    with pytest.raises(DeclarationError) as refused:
        load(write(tmp_path, GOOD.replace(old, new, 1)))
    assert subject in refused.value.subject
    assert cause in refused.value.cause
    assert remedy in refused.value.remedy or remedy in refused.value.cause


def test_loading_does_no_io(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's file does not exist: loading never looks for it."""
    assert load(write(tmp_path, GOOD)).tables["supplier"].source == "suppliers.csv"


def test_a_views_identity_is_its_definition(tmp_path: Path) -> None:
    before = load(write(tmp_path, GOOD))
    added = '"new": window.max(sale.units, "7d", by="sku"), "sales_7d"'
    after = load(write(tmp_path, GOOD.replace('"sales_7d"', added, 1)))
    assert set(before.views) < set(after.views)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("demand.frobnicate()", "AttributeError: 'Project' object has no attribute 'frobnicate'"),
        ("hr.grid('7d')", "TypeError: "),
        ("int('seven')", "ValueError: invalid literal"),
        ("{}['speed']", "KeyError: 'speed'"),
        ("1 / 0", "ZeroDivisionError: "),
        ("import headrace_of_no_kind", "ModuleNotFoundError: No module named 'headrace_of_no_kind'"),
        ("nothing", "NameError: name 'nothing' is not defined"),
        ("open('/nowhere/at/all')", "FileNotFoundError: "),
        ("assert False, 'not yet'", "AssertionError: not yet"),
        ("def x(:", "SyntaxError: invalid syntax"),
    ],
)
def test_what_a_project_file_raises_is_told_with_its_line(wrong: str, words: str, tmp_path: Path) -> None:
    line = GOOD.rstrip("\n").count("\n") + 2
    with pytest.raises(DeclarationError) as refused:
        load(write(tmp_path, GOOD.rstrip("\n") + f"\n{wrong}\n"))
    assert f"project.py, line {line}: {words}" in refused.value.cause
    assert refused.value.__cause__ is not None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("windw.max(sale.units)", "NameError: name 'windw' is not defined"),
        ("[][3]", "IndexError: list index out of range"),
    ],
)
def test_what_a_decorated_function_raises_is_told_with_its_line(wrong: str, words: str, tmp_path: Path) -> None:
    text = GOOD.replace('window.rate(sale.units, "7d", per="1d", by="sku")', wrong)
    line = text[: text.index(wrong)].count("\n") + 1
    with pytest.raises(DeclarationError, match="windows history") as refused:
        load(write(tmp_path, text))
    assert f"project.py, line {line}: {words}" in refused.value.cause


def test_a_project_of_two_names_is_one(tmp_path: Path) -> None:
    assert load(write(tmp_path, GOOD + "\nalso = demand\n")).name == "demand"


def test_streams_may_share_a_derived_column_of_one_expression(tmp_path: Path) -> None:
    offer = """
class Offer(Stream, topic='shop.offers', key='sku', time='at', lateness='0s', skew='0s'):
    sku: Str
    region: Str
    units: Int
    price: Float
    at: Time

@demand.enrich(Offer)
def offers(offer):
    return {'revenue': offer.units * offer.price}
"""
    found = load(write(tmp_path, GOOD + offer))
    assert found.streams["offer"].lateness == 0
    assert "revenue" in found.streams["offer"].enriched


def test_the_examples_own_way_to_a_table_is_the_requests(tmp_path: Path) -> None:
    """The outcome's stream joins the table by a column that no request has."""
    fraud = (Path(__file__).parents[1] / "projects" / "fraud.py").read_text()
    shop = fraud.replace("    lost: Float\n", "    lost: Float\n    shop: Str\n").replace(
        "@fraud.windows",
        "@fraud.enrich(Chargeback, Merchant, on={'merchant': 'shop'})\n"
        "def judged(chargeback, merchant):\n    return {'risky': merchant.risk}\n\n\n@fraud.windows",
    )
    lookup = load(write(tmp_path, shop)).resolution[0]
    assert isinstance(lookup, Lookup)
    assert lookup.join.on == ("merchant",)
