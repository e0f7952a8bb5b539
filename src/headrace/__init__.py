"""Headrace: a real-time machine-learning system that you declare once, in one Python file."""

from headrace.declare import window
from headrace.declare.cost import cost
from headrace.declare.label import each, future, grid, outcome
from headrace.declare.project import Project
from headrace.declare.records import Stream, Table
from headrace.declare.rules import above, better, falls, rises
from headrace.declare.types import Bool, Float, Int, Null, Str, Time

__all__ = [
    "Bool",
    "Float",
    "Int",
    "Null",
    "Project",
    "Str",
    "Stream",
    "Table",
    "Time",
    "above",
    "better",
    "cost",
    "each",
    "falls",
    "future",
    "grid",
    "outcome",
    "rises",
    "window",
]
