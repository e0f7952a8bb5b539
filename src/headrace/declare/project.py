"""`Project`: collects what the decorated functions declare. Resolving it is `headrace.declare.resolve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from headrace.declare.cost import Cost
from headrace.declare.declaration import Calendar
from headrace.declare.duration import milliseconds, span
from headrace.declare.label import Each, Grid
from headrace.declare.parts import CheckPart, EnrichPart, LabelPart, ModelPart, Parts, RetrainPart, WindowsPart
from headrace.declare.records import Stream, Table
from headrace.declare.rules import METRICS, Better, Rule
from headrace.declare.waivers import Waiver
from headrace.errors import DeclarationError

_F = TypeVar("_F", bound=Callable[..., Any])


class Project:
    """One real-time machine-learning system.

    name: prefixes topics. entity: the columns that name what is predicted for. timezone, holidays ("US", "DE-BY"),
    exceptions ({"2017-12-26": True}): for calendar features.
    """

    def __init__(
        self,
        name: str,
        *,
        entity: str | tuple[str, ...],
        timezone: str = "UTC",
        holidays: str | None = None,
        exceptions: Mapping[str, bool] | None = None,
    ) -> None:
        keys = (entity,) if isinstance(entity, str) else tuple(entity)
        self.parts = Parts(name, keys, Calendar(timezone, holidays, dict(exceptions or {})))

    def _record(self, kind: type[Stream] | type[Table], value: object) -> None:
        if not (isinstance(value, type) and issubclass(value, kind)):
            raise DeclarationError(
                f"project {self.parts.name}",
                f"{value!r} is not a {kind.__name__}",
                f"name a class of {kind.__name__}",
            )

    def _once(self, what: str, already: object) -> None:
        if already is not None:
            raise DeclarationError(f"project {self.parts.name}", f"it declares {what} twice", f"keep one {what}")

    def check(self, stream: type[Stream]) -> Callable[[_F], _F]:
        """Rules of a stream: the function gives {rule name: condition}; what fails is a dead letter."""
        self._record(Stream, stream)

        def keep(function: _F) -> _F:
            self.parts.checks.append(CheckPart(stream, function))
            return function

        return keep

    def enrich(
        self, stream: type[Stream], *tables: type[Table], on: Mapping[str, str] | None = None
    ) -> Callable[[_F], _F]:
        """Derived columns of a stream from it and from tables looked up by their key.

        on: where names differ, {key column of a table: column of the stream}.
        """
        self._record(Stream, stream)
        for table in tables:
            self._record(Table, table)

        def keep(function: _F) -> _F:
            self.parts.enrichments.append(EnrichPart(stream, tables, dict(on or {}), function))
            return function

        return keep

    def windows(self, stream: type[Stream], *, every: str | None = None) -> Callable[[_F], _F]:
        """Window features over a stream's enriched records: {name: window.sum(...)}. every: their hop."""
        self._record(Stream, stream)

        def keep(function: _F) -> _F:
            hop = None if every is None else span(every, f"windows {function.__name__}")
            self.parts.windows.append(WindowsPart(stream, hop, function))
            return function

        return keep

    def features(self, function: _F) -> _F:
        """The model's inputs. Parameters are named after what they are.

        `request`; `calendar`; a windows function; a table in lower case (its row for this request).
        """
        self._once("features", self.parts.features)
        self.parts.features = function
        return function

    def label(self, stream: type[Stream], *, examples: Grid | Each) -> Callable[[_F], _F]:
        """What the model learns, told by a stream: `future.sum(...)` or `outcome(...)`."""
        self._record(Stream, stream)
        if isinstance(examples, Each):
            self._record(Stream, examples.stream)
        elif not isinstance(examples, Grid):
            raise DeclarationError(
                f"project {self.parts.name}", f"examples={examples!r} draws none", "use grid(...) or each(Stream)"
            )

        def keep(function: _F) -> _F:
            self._once("a label", self.parts.label)
            self.parts.label = LabelPart(stream, examples, function)
            return function

        return keep

    def model(self, *, seed: int, cost: Cost | None = None) -> Callable[[_F], _F]:
        """How to train: `function(x, y, **parameters)` gives a fitted model; parameters need defaults.

        cost: `hr.cost(...)`, of a classification's errors: answers then carry a decision.
        """

        def keep(function: _F) -> _F:
            self._once("a model", self.parts.model)
            self.parts.model = ModelPart(seed, function, cost)
            return function

        return keep

    def monitor(self, **rules: Rule) -> None:
        """Rules by metric: `monitor(mae=rises(0.1), psi=above(0.2))`."""
        for metric, rule in rules.items():
            subject = f"monitor {metric}"
            if metric not in METRICS:
                raise DeclarationError(subject, "no such metric", f"use one of {', '.join(METRICS)}")
            if not isinstance(rule, Rule):
                raise DeclarationError(
                    subject, f"{rule!r} is no rule", "write rises(...), falls(...) or above(...)"
                )
            if metric in self.parts.monitors:
                raise DeclarationError(subject, "it is declared twice", "keep one rule a metric")
            self.parts.monitors[metric] = rule

    def retrain(
        self,
        *,
        on: tuple[str, ...] = (),
        every: str | None = None,
        cooldown: str = "7d",
        holdout: str = "14d",
        budget: int = 10,
        promote: Better | None = None,
    ) -> None:
        """The policy: a challenger is trained on an alert of `on`, or at the latest `every` so often.

        With neither, the monitor trains nothing, not even a first model. promote: None is `better` by mae where a
        number is predicted, and by log_loss where a condition is.
        """
        self._once("a retraining policy", self.parts.retrain)
        if isinstance(on, str):
            raise DeclarationError("retrain", f"on={on!r} is a text", f"write on=({on!r},)")
        if not isinstance(promote, Better | None):
            raise DeclarationError("retrain", f"promote={promote!r} is no condition", "write promote=better('mae')")
        self.parts.retrain = RetrainPart(
            on=tuple(on),
            every=None if every is None else milliseconds(every, "retrain"),
            cooldown=milliseconds(cooldown, "retrain"),
            holdout=milliseconds(holdout, "retrain"),
            budget=budget,
            promote=promote,
        )

    def waive(self, gate: str, *, feature: str, because: str) -> None:
        """Lets a run register its model although a gate finds something in a feature.

        `waive("constants", feature="month", because="a first model of one month")`. The run keeps the reason.
        """
        self.parts.waivers.append(Waiver(gate, feature, because))
