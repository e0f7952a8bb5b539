"""The steps of a replay: instants at most one hop apart, with every grid point among them."""

from __future__ import annotations

from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY
from headrace.declare.label import Each, Grid
from headrace.errors import SourceError


def longest_step(declaration: Declaration) -> int:
    """The largest step that leaves every result as it is, ms: the shortest hop.

    Events that are asked with arrive at the end of their step: so it is not longer than their lateness either.
    SourceError where they may not be late at all.
    """
    hops = [view.hop for view in declaration.views.values()]
    examples = declaration.label.examples
    late = [declaration.example_stream.lateness] if isinstance(examples, Each) else []
    if 0 in late:
        raise SourceError(
            f"replay of {declaration.example_stream.title}",
            "its events arrive at the end of the step in which they are asked with, and its lateness is 0",
            "declare the lateness that its events have, at least as long as a step",
        )
    return min([*hops, *late], default=DAY)


def steps(declaration: Declaration, since: int, until: int, step: int) -> list[int]:
    """The marks of a replay of `[since, until]`: multiples of `step`, the grid's points, and the ends; ms.

    SourceError where there is no such step or no such time.
    """
    if step <= 0:
        raise SourceError("--step", "it is 0", "give a longer one, or leave it out")
    if since > until:
        raise SourceError("--from", "it lies after --to", "begin before the end")
    marks = {since, until, *range(since - since % step + step, until, step)}
    examples = declaration.label.examples
    if isinstance(examples, Grid):
        first = since - (since - examples.offset) % examples.every
        marks |= {point for point in range(first, until + 1, examples.every) if since <= point <= until}
    return sorted(marks)


def on_grid(declaration: Declaration, time: int) -> bool:
    """Whether the project draws examples at this instant."""
    examples = declaration.label.examples
    return isinstance(examples, Grid) and (time - examples.offset) % examples.every == 0
