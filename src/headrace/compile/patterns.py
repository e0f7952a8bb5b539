"""Patterns: the part of regular expressions and of LIKE that means the same to RE2, Java and Python.

RE2 is DuckDB's, java.util.regex is Flink's. Allowed: literal characters, `.`, `^`, `$` (the end of the text, never
before a last newline), classes, `\\d \\D \\w \\W` (ASCII), escaped punctuation, `|`, `( )`, `(?: )`, and the
quantifiers `* + ? {m} {m,} {m,n}`, also lazy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TOKENS: Final = re.compile(
    r"""(?P<klass>\[\^?(?:\\[dDwW]|\\[!-/:-@\[-`{-~]|[^\]\[\\])+\])
      | (?P<open>\(\?:|\((?!\?))
      | (?P<close>\))
      | (?P<times>(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??)
      | (?P<char>\\[dDwW]|\\[!-/:-@\[-`{-~]|[^\\\[\](){}*+?])""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Regex:
    """One regular expression, as each engine must be given it."""

    text: str
    python: re.Pattern[str]
    java: str


def regex(text: str) -> Regex | str:
    """The expression for every engine, or why it is outside of what they share.

    >>> regex("^[A-Z]{2}-([0-9]+)$").java
    '(?d)^[A-Z]{2}-([0-9]+)\\\\z'
    >>> regex("(?=x)")
    "'(?=x)' is not understood alike by every engine from character 0 on"
    """
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None or match.lastgroup is None or "&&" in match[0] or "\x00" in match[0]:
            return f"{text!r} is not understood alike by every engine from character {position} on"
        tokens.append((match.lastgroup, match[0]))
        position = match.end()
    opened: list[int] = []
    for place, (kind, token) in enumerate(tokens):
        if kind == "open":
            opened.append(place)
        elif kind == "times":
            before = tokens[place - 1][0] if place else "open"
            if before in ("open", "times") or tokens[place - 1][1] in ("|", "^", "$"):
                return f"in {text!r} the quantifier {token!r} has nothing to repeat"
        elif kind == "close" and opened:
            start = opened.pop()
            if place + 1 < len(tokens) and tokens[place + 1][0] == "times" and tokens[place + 1][1] != "?":
                body = "".join(part for _, part in tokens[start : place + 1])
                if tokens[start][1] == "(":
                    return f"in {text!r} a capturing group is repeated; write (?: ) for it"
                if re.fullmatch(body, "") is not None:
                    return f"in {text!r} a group that may be empty is repeated"
    try:
        python = re.compile(_with_end(tokens, r"\Z"), re.ASCII)
    except re.error as error:
        return f"{text!r} is not a regular expression: {error}"
    return Regex(text, python, "(?d)" + _with_end(tokens, r"\z"))


def _with_end(tokens: list[tuple[str, str]], end: str) -> str:
    return "".join(end if (kind, token) == ("char", "$") else token for kind, token in tokens)


def like(pattern: str) -> re.Pattern[str]:
    """A LIKE pattern for `fullmatch`: `%` is any text, `_` one code point; nothing escapes them.

    >>> bool(like("a%_").fullmatch("ab")), bool(like("a%_").fullmatch("a"))
    (True, False)
    """
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in pattern), re.DOTALL)
