"""PyTorch's modules as ONNX, run by ONNX Runtime: an arithmetic graph and its weights, and nothing that executes.

PyTorch's own archives are not taken: `torch.export.load` falls back to unpickling what its safe reader refuses, a
TorchScript file is a program, and a state_dict is no model without the user's code. The server needs onnxruntime (a
few MB) and no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from headrace.errors import MissingExtra, ModelError
from headrace.models.encoding import Encoding, Matrix

_INPUT: Final = "x"


class TorchFormat:
    """Fitted modules that map float32 of shape (rows, columns) to (rows,) or (rows, 1).

    The columns are those of `headrace.models.encoding.numbers(x)`: a category is its code, what is missing is NaN.
    A classification gives the probability, after the sigmoid.
    """

    def version(self) -> str:
        return f"torch {_import('torch').__version__.partition('+')[0]}"

    def write(self, model: Any, path: Path, encoding: Encoding) -> None:
        torch = _import("torch")
        for name in ("onnx", "onnxscript"):
            _import(name)
        example = torch.zeros((2, len(encoding.columns)), dtype=torch.float32)
        rows = ({0: torch.export.Dim("rows")},)
        try:
            program = torch.onnx.export(
                model.to("cpu").eval(),
                (example,),
                input_names=[_INPUT],
                dynamic_shapes=rows,
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, TypeError) as error:
            raise ModelError(
                f"model {type(model).__name__}",
                f"it cannot be written as ONNX: {error!s:.300}",
                "return a module that maps one float32 tensor (rows, columns) to (rows,)",
            ) from error
        proto = program.model_proto
        _forget(proto)
        path.write_bytes(proto.SerializeToString(deterministic=True))

    def read(self, path: Path, encoding: Encoding) -> OnnxPredictor:
        runtime = _import("onnxruntime")
        errors = _import("onnxruntime.capi.onnxruntime_pybind11_state")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # waking threads costs more than a few rows
        try:  # from bytes: a file that refers to others is refused
            session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except (errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph, errors.NotImplemented) as error:
            raise ModelError(
                f"model {path}", f"ONNX Runtime cannot read it: {error!s:.300}", "train it again"
            ) from error
        return OnnxPredictor(session)


class OnnxPredictor:
    """Computes in float32, as the module does."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def predict(self, matrix: Matrix) -> npt.NDArray[np.float64]:
        (found,) = self._session.run(None, {_INPUT: matrix.astype(np.float32)})
        predicted = np.asarray(found, np.float64)
        return predicted[:, 0] if predicted.ndim == 2 and predicted.shape[1] == 1 else predicted


def _forget(proto: Any) -> None:
    """Takes out where in the source each operator came from: the same training gives the same bytes anywhere."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for function in proto.functions:
        for part in (function, *function.node, *function.value_info):
            part.doc_string = ""
            del part.metadata_props[:]


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra("model format 'torch'", name.partition(".")[0], "torch") from error
