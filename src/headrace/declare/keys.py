"""Key text: the one way in which the values of key columns become a tile's or a table row's key."""

from __future__ import annotations

from collections.abc import Sequence


def key_text(values: Sequence[str | int | bool | None]) -> str | None:
    """The key of some values; None when one of them is null.

    >>> key_text(["a|b", 7, True])
    'a\\\\|b|7|true'
    """
    parts = []
    for value in values:
        if value is None:
            return None
        text = str(value).lower() if isinstance(value, bool) else str(value)
        parts.append(text.replace("\\", "\\\\").replace("|", "\\|"))
    return "|".join(parts)


def key_sql(columns: Sequence[str]) -> str:
    r"""The same as DuckDB SQL over columns (quoted by this function); null when one is null.

    >>> print(key_sql(["sku"]))
    replace(replace(CAST("sku" AS VARCHAR), '\', '\\'), '|', '\|')
    """
    parts = [f"replace(replace(CAST({quoted(name)} AS VARCHAR), '\\', '\\\\'), '|', '\\|')" for name in columns]
    return " || '|' || ".join(parts)


def quoted(name: str) -> str:
    """An SQL identifier.

    >>> quoted('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'
