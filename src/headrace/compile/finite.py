"""A float that is not finite is null: puts the test where such a float could be seen, and nowhere else.

Adding to it, multiplying it, dividing it by a float that is finite or negating it gives another float that is not
finite, so that one test at the end of a chain of these is enough.
"""

from __future__ import annotations

from typing import Any, Final

import ibis.expr.operations as ops

from headrace.compile.operations import Finite


def observed(node: ops.Value) -> ops.Value:
    """The operation with every float that something looks at tested, its own result included."""
    return _finite(node.replace(_observe))


# Only what can bring a float that is not finite, and what passes one on unseen, may keep it.
_SOURCES: Final = (
    ops.Field, ops.Add, ops.Subtract, ops.Multiply, ops.Divide, ops.Exp, ops.Power, ops.Sqrt, ops.Ln, ops.Log2,
    ops.Log10, ops.TryCast,
)  # fmt: skip
_PASSING: Final = (ops.Negate, ops.Abs)


def _wild(node: ops.Value) -> bool:
    if not node.dtype.is_floating():
        return False
    if isinstance(node, ops.SearchedCase):
        return any(_wild(result) for result in (*node.results, node.default))
    if isinstance(node, _PASSING):
        return _wild(node.arg)
    return isinstance(node, _SOURCES)


def _finite(node: Any) -> Any:
    return Finite(node) if isinstance(node, ops.Value) and _wild(node) else node


def _observe(node: Any, kwargs: dict[str, Any] | None) -> Any:
    if isinstance(node, ops.Relation):
        return node
    free: tuple[str, ...] = ()
    if isinstance(node, (ops.Add, ops.Subtract, ops.Multiply)):
        free = ("left", "right")
    elif isinstance(node, ops.Divide):
        free = ("left",)
    elif isinstance(node, ops.SearchedCase):
        free = ("results", "default")
    elif isinstance(node, (*_PASSING, Finite)):
        free = ("arg",)
    given = {}
    for name, value in (kwargs or dict(zip(node.argnames, node.args, strict=True))).items():
        if name in free:
            given[name] = value
        elif isinstance(value, tuple):
            given[name] = tuple(_finite(each) for each in value)
        else:
            given[name] = _finite(value)
    return node.__recreate__(given)
