"""From feature values to the model's matrix: one encoding, frozen at training, for training and serving.

Levels of a category are those of the training examples, sorted; an unseen one is missing. bool is 0 or 1; int and
float are float64; null is NaN. A category's code is its place among the levels, in a data frame as in a matrix,
so that a model with native categories (Chen & Guestrin 2016; XGBoost's `enable_categorical`) sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Feature
from headrace.declare.types import Kind
from headrace.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

Scalar = str | int | float | bool | None
Matrix = npt.NDArray[np.float64]

# Models compute in float32: what lies beyond it (also an infinity) keeps its order and stays a number.
_LIMIT: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the matrix. levels: the categories of kind 'str', in the order of their codes, else None."""

    name: str
    kind: Kind
    levels: tuple[str, ...] | None = None


class Encoding:
    """The columns of a model's matrix, in order.

    >>> encoding = Encoding((Column("units", "int"), Column("place", "str", ("here", "there"))))
    >>> encoding.matrix([{"units": 3, "place": "there"}, {"units": None, "place": "nowhere"}])
    array([[ 3.,  1.],
           [nan, nan]])
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._codes: tuple[tuple[str, dict[str, int] | None], ...] = tuple(
            (column.name, None if column.levels is None else {level: i for i, level in enumerate(column.levels)})
            for column in self.columns
        )

    @classmethod
    def frozen(cls, features: Sequence[Feature], table: pa.Table) -> Encoding:
        """The encoding of features, with the levels that a table of training examples holds."""
        columns = []
        for feature in features:
            levels = None
            if feature.type.kind == "str":
                found = pc.unique(table.column(feature.name)).to_pylist()
                levels = tuple(sorted(level for level in found if level is not None))
            columns.append(Column(feature.name, feature.type.kind, levels))
        return cls(columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Encoding) and self.columns == other.columns

    def __hash__(self) -> int:
        return hash(self.columns)

    def matrix(self, rows: Sequence[Mapping[str, Scalar]]) -> Matrix:
        """The matrix of some rows by feature name: float64, shape (rows, columns). The fast path of serving.

        An absent name is missing. Raises ModelError where a value is not of its column's kind.
        """
        values = np.full((len(rows), len(self.columns)), np.nan)
        for place, row in enumerate(rows):
            line = values[place]
            for index, (name, codes) in enumerate(self._codes):
                value = row.get(name)
                if value is None:
                    continue
                if codes is not None:
                    if not isinstance(value, str):
                        raise _refused(self.columns[index], value)
                    code = codes.get(value)
                    if code is not None:
                        line[index] = code
                elif isinstance(value, str):
                    raise _refused(self.columns[index], value)
                else:
                    line[index] = value
        return np.clip(values, -_LIMIT, _LIMIT, out=values)

    def table_matrix(self, table: pa.Table) -> Matrix:
        """The matrix of a table's columns: float64, shape (rows, columns)."""
        values = np.empty((table.num_rows, len(self.columns)))
        for index, column in enumerate(self.columns):
            if column.levels is None:
                values[:, index] = _numbers(column, table)
            else:
                codes = self._place(column, table)
                values[:, index] = np.where(codes < 0, np.nan, codes)
        return values

    def frame(self, table: pa.Table) -> pd.DataFrame:
        """What the user's training function gets as x: categories are pandas Categorical, the rest float64."""
        return self.matrix_frame(self.table_matrix(table))

    def matrix_frame(self, matrix: Matrix) -> pd.DataFrame:
        """The data frame of a matrix: so x in training is what a library of data frames gets when served."""
        import pandas as pd

        columns: dict[str, Any] = {}
        for index, column in enumerate(self.columns):
            values = matrix[:, index]
            if column.levels:
                codes = np.where(np.isnan(values), -1, values).astype(np.int64)
                columns[column.name] = pd.Categorical.from_codes(codes.tolist(), self._levels[column.name])
            else:  # a number, or always missing: XGBoost refuses a category without levels
                columns[column.name] = values
        return pd.DataFrame(columns)

    @cached_property
    def _levels(self) -> Mapping[str, pd.Index]:
        import pandas as pd

        return {c.name: pd.Index(c.levels, dtype=object) for c in self.columns if c.levels}

    def _place(self, column: Column, table: pa.Table) -> npt.NDArray[np.int64]:
        """Codes; -1 is missing."""
        values = _chunk(column, table)
        if not column.levels or pa.types.is_null(values.type):
            return np.full(len(values), -1, dtype=np.int64)
        codes = pc.index_in(values.cast(pa.string()), value_set=pa.array(column.levels, pa.string()))
        found: npt.NDArray[np.int64] = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return found

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"name": column.name, "kind": column.kind}
            | ({} if column.levels is None else {"levels": list(column.levels)})
            for column in self.columns
        ]

    @classmethod
    def from_json(cls, columns: Sequence[Mapping[str, Any]]) -> Encoding:
        return cls([
            Column(column["name"], column["kind"], tuple(column["levels"]) if "levels" in column else None)
            for column in columns
        ])  # fmt: skip


def numbers(x: pd.DataFrame) -> Matrix:
    """The matrix of a training function's x, as it is served: for libraries that take numbers alone.

    >>> encoding = Encoding((Column("units", "int"), Column("place", "str", ("here", "there"))))
    >>> numbers(encoding.frame(pa.table({"units": [3, None], "place": ["there", "nowhere"]})))
    array([[ 3.,  1.],
           [nan, nan]])
    """
    values = np.empty(x.shape)
    for index, name in enumerate(x.columns):
        column: Any = x[name]
        if column.dtype == "category":
            codes = column.cat.codes.to_numpy()
            values[:, index] = np.where(codes < 0, np.nan, codes)
        else:
            values[:, index] = column.to_numpy(np.float64)
    return values


def _refused(column: Column, value: object) -> ModelError:
    return ModelError(
        f"feature {column.name}",
        f"{value!r} is not of its kind, {column.kind}",
        "pass the values that the project's features give",
    )


def _chunk(column: Column, table: pa.Table) -> pa.Array:
    if column.name not in table.column_names:
        raise ModelError(
            f"feature {column.name}", "the table has no such column", "pass the columns of the training set"
        )
    return table.column(column.name).combine_chunks()


def _numbers(column: Column, table: pa.Table) -> Matrix:
    values = _chunk(column, table)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    clipped: Matrix = np.clip(numbers, -_LIMIT, _LIMIT)
    return clipped
