"""Resolves waivers: each is of a gate that there is, for a feature that there is, with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.declare.declaration import Feature
from headrace.declare.parts import Parts
from headrace.declare.waivers import GATES, Waiver
from headrace.errors import DeclarationError


def resolve_waivers(parts: Parts, features: Sequence[Feature]) -> tuple[Waiver, ...]:
    """The waivers in declared order. DeclarationError for one that could waive nothing, or gives no reason."""
    names = {feature.name for feature in features}
    seen = set()
    for waiver in parts.waivers:
        subject = f"waiver {waiver.gate} of {waiver.feature}"
        if waiver.gate not in GATES:
            raise DeclarationError(subject, f"no gate is called {waiver.gate!r}", f"name one of {', '.join(GATES)}")
        if waiver.feature not in names:
            raise DeclarationError(
                subject, f"no feature is called {waiver.feature!r}", f"name one of {', '.join(sorted(names))}"
            )
        if not isinstance(waiver.because, str) or not waiver.because.strip():
            raise DeclarationError(subject, "it gives no reason", 'write because="..."')
        if (waiver.gate, waiver.feature) in seen:
            raise DeclarationError(subject, "it is declared twice", "keep one reason")
        seen.add((waiver.gate, waiver.feature))
    return tuple(parts.waivers)
