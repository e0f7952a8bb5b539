"""PyTorch's modules through ONNX: what is served is what the module gives. Runs where torch can be imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import MissingExtra, ModelError
from headrace.models.artifact import Span, Spec, load, save
from headrace.models.encoding import Column, Encoding, numbers
from headrace.models.formats import format_of
from headrace.models.torch_format import TorchFormat

ENCODING = Encoding([Column("place", "str", ("a", "b")), Column("units", "int"), Column("price", "float")])


def spec_of() -> Spec:
    span = Span(0, 1, 2)
    return Spec("demand", "digest", "regression", "units", ENCODING, {}, 7, "torch 2", span, span, 5, {}, {})


def table(rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    price = random.normal(size=rows)
    price[::7] = np.nan
    place = pa.array([("a", "b", None)[value] for value in random.integers(0, 3, rows)])
    return pa.table({"place": place, "units": random.integers(0, 9, rows), "price": price})


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("flat", [True, False])
def test_what_is_served_is_what_the_module_gives(flat: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(6, 8),
                torch.nn.ReLU(),
                torch.nn.Dropout(0.5),
                torch.nn.Linear(8, 1),
                torch.nn.Sigmoid(),
            )

        def forward(self, x: Any) -> Any:
            missing = torch.isnan(x)
            found = self.layers(torch.cat([torch.nan_to_num(x), missing.float()], dim=1))
            return found.squeeze(1) if flat else found

    found, matrix = table(60), numbers(ENCODING.frame(table(60)))
    torch.manual_seed(3)
    net = Net()
    assert format_of(net) == "torch"
    digest = save(tmp_path / "one", net, spec_of(), matrix)
    assert save(tmp_path / "two", net, spec_of(), matrix) == digest
    assert str(Path(__file__).name).encode() not in (tmp_path / "one" / "model.onnx").read_bytes()
    artifact = load(tmp_path / "one")
    with torch.no_grad():
        expected = net.eval()(torch.tensor(matrix, dtype=torch.float32)).numpy().reshape(-1)
    np.testing.assert_allclose(artifact.predict_table(found), expected, rtol=1e-5, atol=1e-6)
    rows = found.to_pylist()
    rows = [{**row, "price": None if np.isnan(row["price"]) else row["price"]} for row in rows]
    np.testing.assert_allclose(artifact.predict(rows), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(artifact.predict(rows[:1]), expected[:1], rtol=1e-5, atol=1e-6)
    [told] = artifact.explain(rows[:1])
    assert told.base + sum(told.values.values()) == pytest.approx(artifact.predict(rows[:1])[0], abs=1e-9)
    (tmp_path / "broken.onnx").write_bytes(b"\x00not a model")
    with pytest.raises(ModelError, match="cannot read it"):
        TorchFormat().read(tmp_path / "broken.onnx", ENCODING)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("torch", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"'torch' is not installed.*headrace\[torch\]"):
        TorchFormat().version()
    with pytest.raises(MissingExtra, match=r"'onnxruntime' is not installed.*headrace\[torch\]"):
        TorchFormat().read(tmp_path / "model.onnx", ENCODING)
