"""The error tree. Every error names the object, the cause and the next thing to do."""

from __future__ import annotations


class HeadraceError(Exception):
    """The root of everything that Headrace raises on purpose.

    >>> print(HeadraceError("stream Sale", "its key 'sku' is not a column", "declare `sku: Str`"))
    stream Sale: its key 'sku' is not a column. To mend it: declare `sku: Str`
    """

    def __init__(self, subject: str, cause: str, remedy: str) -> None:
        super().__init__(subject, cause, remedy)
        self.subject = subject
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.subject}: {self.cause}. To mend it: {self.remedy}"


class DeclarationError(HeadraceError):
    """The project file declares something that cannot be run."""


class ExpressionError(DeclarationError):
    """An expression lies outside the allow-list that all engines agree on."""


class ProfileError(HeadraceError):
    """headrace.toml names a profile, a seam or an address that does not exist."""


class MissingExtra(HeadraceError):
    """An optional dependency is not installed; the remedy is the install line."""

    def __init__(self, subject: str, package: str, extra: str) -> None:
        remedy = f"pip install 'headrace[{extra}]'"
        super().__init__(subject, f"the package '{package}' is not installed", remedy)


class LogError(HeadraceError):
    """The log refused a read or a write."""


class WriterTaken(LogError):
    """Another process holds a role's right to write."""


class OffsetOutOfRange(LogError):
    """The records asked for are older than the topic's retention."""


class SchemaError(HeadraceError):
    """A schema is unknown, malformed, or does not describe the bytes."""


class UnknownSchema(SchemaError):
    """No schema has the id that bytes carry. (A registry that does not answer is another error.)"""


class IncompatibleSchema(SchemaError):
    """A new schema version could not read what the old one wrote."""


class SourceError(HeadraceError):
    """A table's source or a history file cannot be read, or holds what the declaration rules out."""


class FeatureError(HeadraceError):
    """A feature's value cannot be computed from what was given."""


class StoreUnavailable(FeatureError):
    """The online store does not answer, or is not as its writer left it: it may pass without a restart."""


class TrainingError(HeadraceError):
    """A training run cannot give a model."""


class ModelError(HeadraceError):
    """A model is not in the registry, or is not what was registered."""


class ServingError(HeadraceError):
    """The server cannot answer."""


class RoleError(HeadraceError):
    """A role's process cannot do its work."""


class FlinkError(HeadraceError):
    """Flink refused a statement, or a job of its fails."""


class StackError(HeadraceError):
    """A server of the local stack cannot be installed, started or reached."""


class DeployError(HeadraceError):
    """What is generated for other tools cannot be written, or cannot be made."""
