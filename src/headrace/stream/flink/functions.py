"""The functions of the project's jar, as a job makes them known."""

from __future__ import annotations

from typing import Final

CLASSES: Final = {
    "hr_add": "Add",
    "hr_sub": "Subtract",
    "hr_mul": "Multiply",
    "hr_abs": "Absolute",
    "hr_overflows": "Overflows",
    "hr_sure": "Sure",
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
