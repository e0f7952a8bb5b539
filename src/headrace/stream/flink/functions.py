"""The functions of the project's jar, as a job makes them known."""

from __future__ import annotations

from typing import Final

CLASSES: Final = {
    "hr_add": "Exact$Add",
    "hr_sub": "Exact$Subtract",
    "hr_mul": "Exact$Multiply",
    "hr_abs": "Exact$Abs",
    "hr_divide": "Exact$Divide",
    "hr_truncate": "Exact$Truncate",
    "hr_overflows": "Exact$Overflows",
    "hr_sure": "Exact$Sure",
    "hr_compare": "Texts$Compare",
    "hr_arrival": "Arrival",
    "hr_repair": "Repair",
    "hr_duration": "DurationText",
    "hr_iso": "IsoText",
    "hr_millis": "Times$Millis",
    "hr_sum": "Sum",
    "hr_real_sum": "RealSum",
    "hr_moments": "Moments",
    "hr_first": "End$First",
    "hr_last": "End$Last",
}
FUNCTIONS: Final = tuple(
    f"CREATE TEMPORARY SYSTEM FUNCTION IF NOT EXISTS {function} AS 'io.headrace.flink.{simple}'"
    for function, simple in CLASSES.items()
)
