"""Operations of the core that ibis does not have."""

from __future__ import annotations

from typing import Final, Literal

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz

TIME: Final = dt.Timestamp(scale=3)

How = Literal["trunc", "floor", "ceil", "round"]


class Finite(ops.Unary):  # type: ignore[misc]
    """The float, or null where it is not finite."""

    arg: ops.Value
    dtype = dt.float64


class Whole(ops.Value):  # type: ignore[misc]
    """The float without its fraction, as a float; `round` is half away from zero."""

    arg: ops.Value
    how: str
    shape = rlz.shape_like("arg")
    dtype = dt.float64


class ToInt(ops.Unary):  # type: ignore[misc]
    """A float without fraction as an int, or null outside of int64."""

    arg: ops.Value
    dtype = dt.int64


class Shift(ops.Value):  # type: ignore[misc]
    """The time so many ms later, or null outside of the years 1970 to 9999."""

    arg: ops.Value
    by: int
    shape = rlz.shape_like("arg")
    dtype = TIME
