"""A Feast data source that stands for one slice of a project; where the project is, the stores are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.errors import FeatureError, MissingExtra

try:
    from feast import RepoConfig, ValueType
    from feast.data_source import DataSource
    from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
except ImportError as error:
    raise MissingExtra("the Feast data source", "feast", "feast") from error

from headrace.feast.repo import TYPES
from headrace.feast.slices import Slice
from headrace.feast.surroundings import Surroundings


class HeadraceSource(DataSource):
    """The slice of its name."""

    def __init__(
        self, *, name: str, description: str = "", tags: dict[str, str] | None = None, owner: str = ""
    ) -> None:
        super().__init__(
            name=name, timestamp_field="event_timestamp", description=description, tags=tags, owner=owner
        )

    @staticmethod
    def from_proto(data_source: Any) -> HeadraceSource:
        return HeadraceSource(
            name=data_source.name,
            description=data_source.description,
            tags=dict(data_source.tags),
            owner=data_source.owner,
        )

    def _to_proto_impl(self) -> Any:
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type=f"{type(self).__module__}.{type(self).__name__}",
            custom_options=DataSourceProto.CustomSourceOptions(configuration=b"{}"),
            timestamp_field=self.timestamp_field,
            description=self.description,
            tags=self.tags,
            owner=self.owner,
        )

    def source_type(self) -> Any:
        return DataSourceProto.CUSTOM_SOURCE

    def validate(self, config: RepoConfig) -> None:
        """FeatureError where the project has no such slice."""
        self._slice(config)

    def get_table_column_names_and_types(self, config: RepoConfig) -> Iterable[tuple[str, str]]:
        one = self._slice(config)
        return [(name, TYPES[kind.kind][0]) for name, kind in {**one.keys, **one.columns}.items()]

    def get_table_query_string(self) -> str:
        raise FeatureError(
            f"Feast data source {self.name}", "it is computed, and no table of a database", "ask for its features"
        )

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], ValueType]:
        return lambda name: ValueType[name]

    def _slice(self, config: RepoConfig) -> Slice:
        return Surroundings.of(config.offline_store, config.repo_path).slice(self.name)
