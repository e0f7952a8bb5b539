"""Feast's online store: reads what the online role keeps, by the same steps and at the same clock as the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from headrace.errors import FeatureError, MissingExtra
from headrace.feast.surroundings import Surroundings
from headrace.features.contract import OnlineStore as Store

try:
    from feast import Entity, FeatureService, FeatureView, RepoConfig
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.online_response import OnlineResponse
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.repo_config import FeastConfigBaseModel
    from feast.utils import _get_cached_request_context
except ImportError as error:
    raise MissingExtra("Feast's online store", "feast", "feast") from error

from headrace.feast.asked import Asked, Part
from headrace.feast.reader import Reader
from headrace.feast.values import scalar, values_of

Row = tuple[datetime | None, dict[str, Value] | None]
_ONLY: Final = "only the log writes to it: it is filled by the online role"


class HeadraceOnlineStoreConfig(FeastConfigBaseModel):
    """`online_store` of feature_store.yaml, as `offline_store` (feast/offline.py)."""

    type: str = "headrace.feast.online.HeadraceOnlineStore"
    project: str
    profile: str = "local"
    home: str | None = None


class HeadraceOnlineStore(OnlineStore):
    """Reads the online store of the profile; writes nothing. Threads share it."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._asked: dict[tuple[str | tuple[str, ...], str, bool], Asked] = {}
        self._store: Store | None = None

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """Straight from rows to values; what this store knows nothing of (on-demand views) goes Feast's own way."""
        context = _get_cached_request_context(registry, project, features, full_feature_names)
        if context[1] or include_feature_view_version_metadata or getattr(features, "precompute_online", False):
            return super().get_online_features(
                config,
                features,
                entity_rows,
                registry,
                project,
                full_feature_names,
                include_feature_view_version_metadata,
            )
        name = features.name if isinstance(features, FeatureService) else tuple(features)
        asked = self._asked.get((name, project, full_feature_names))
        if asked is None or asked.context is not context:
            asked = self._resolved(config, context, full_feature_names)
            self._asked[name, project, full_feature_names] = asked
        return asked.answer(entity_rows)

    async def get_online_features_async(self, *arguments: Any, **named: Any) -> OnlineResponse:
        return await asyncio.to_thread(self.get_online_features, *arguments, **named)

    def _resolved(self, config: RepoConfig, context: Any, full: bool) -> Asked:
        """context: as Feast keeps it, its views with the columns that are asked for at the sixth place."""
        grouped, entities = context[5], context[3]
        parts = []
        for view, names in grouped:
            reader = self._reader(config, view)
            keys = {key: view.projection.join_key_map.get(key, key) for key in reader.keys}
            prefix = f"{view.projection.name_to_use()}__" if full else ""
            parts.append(Part(reader, keys, {f"{prefix}{name}": name for name in names}))
        return Asked(context, parts, entities, self._build_feature_types(grouped))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Row]:
        """One row an entity key, all at one instant, which is each row's timestamp."""
        reader = self._reader(config, table)
        requests = [dict(zip(key.join_keys, map(scalar, key.entity_values), strict=True)) for key in entity_keys]
        names = requested_features or list(reader.kinds)
        return [
            (datetime.fromtimestamp(served.t / 1000, UTC), values_of(served.values, reader.kinds, names))
            for served in reader.serve(requests)
        ]

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        raise FeatureError("Feast's online store", _ONLY, "send events to the log, and run `headrace run online`")

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Nothing is to be made: the online role made it."""

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Leaves all as it is: the store is the online role's."""

    async def close(self) -> None:
        store, self._store = self._store, None
        self._readers.clear()
        self._asked.clear()
        if store is not None:
            store.close()

    def _reader(self, config: RepoConfig, view: FeatureView) -> Reader:
        """That of a view: the same as long as the registry gives the same object."""
        reader = self._readers.get(view.name)
        if reader is None or reader.view is not view:
            surroundings = Surroundings.of(config.online_store, config.repo_path)
            if self._store is None:
                self._store = surroundings.profile.open_online()
            reader = self._readers[view.name] = Reader(view, surroundings, self._store)
        return reader
