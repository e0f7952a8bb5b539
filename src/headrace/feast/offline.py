"""Feast's offline store: historical features are computed by the training kernel from the archive.

Every row of the entity dataframe gives one row, in its order, with the values that were served at its timestamp. A
timestamp counts in whole milliseconds, rounded down as the server's clock is; without a time zone it is UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from headrace.declare.types import ColumnType
from headrace.errors import FeatureError, MissingExtra
from headrace.feast.reading import changes_read, streams_read
from headrace.feast.slices import Slice
from headrace.feast.surroundings import Surroundings
from headrace.features.vector import vectors

try:
    from feast import FeatureView, OnDemandFeatureView, RepoConfig
    from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
    from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
    from feast.repo_config import FeastConfigBaseModel
except ImportError as error:
    raise MissingExtra("Feast's offline store", "feast", "feast") from error

from headrace.feast.agreement import agree

_SUBJECT: Final = "Feast's historical features"
_WRITES: Final = "the online role writes the online store from the log: nothing is to be materialized"


class HeadraceOfflineStoreConfig(FeastConfigBaseModel):
    """`offline_store` of feature_store.yaml. project: relative to the repo; profile, home: as of a command."""

    type: str = "headrace.feast.offline.HeadraceOfflineStore"
    project: str
    profile: str = "local"
    home: str | None = None


class HeadraceOfflineStore(OfflineStore):
    """Reads the archive of the profile; writes nothing."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        **others: Any,
    ) -> RetrievalJob:
        if not isinstance(entity_df, pd.DataFrame):
            cause = "the entities are not given as a pandas DataFrame"
            raise FeatureError(_SUBJECT, cause, "give one, with the join keys and event_timestamp")
        moment = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        surroundings = Surroundings.of(config.offline_store, config.repo_path)
        wanted = [_Wanted(view, surroundings, feature_refs, full_feature_names) for view in feature_views]
        given = pa.Table.from_pandas(entity_df, preserve_index=False)

        def compute() -> pa.Table:
            return _historical(surroundings, wanted, given, moment)

        metadata = RetrievalMetadata(
            features=feature_refs,
            keys=[name for name in entity_df.columns if name != moment],
            min_event_timestamp=entity_df[moment].min() if len(entity_df) else None,
            max_event_timestamp=entity_df[moment].max() if len(entity_df) else None,
        )
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        return HeadraceRetrievalJob(compute, on_demand, full_feature_names, metadata)

    @staticmethod
    def pull_latest_from_table_or_query(*arguments: Any, **named: Any) -> RetrievalJob:
        raise FeatureError("Feast's materialization", _WRITES, "run `headrace run online PROJECT`")

    @staticmethod
    def pull_all_from_table_or_query(*arguments: Any, **named: Any) -> RetrievalJob:
        cause = "values are computed at instants, and are no rows of a table"
        raise FeatureError(_SUBJECT, cause, "ask get_historical_features for the instants")

    @staticmethod
    def offline_write_batch(*arguments: Any, **named: Any) -> None:
        raise FeatureError("Feast's offline store", "only the log writes to the archive", "send events to the log")

    @staticmethod
    def write_logged_features(*arguments: Any, **named: Any) -> None:
        cause = "features as served are on the predictions topic already"
        raise FeatureError("Feast's feature logging", cause, "read the archive of predictions")


class HeadraceRetrievalJob(RetrievalJob):
    """Computes when it is asked for its result, and anew each time.

    Whole numbers with nulls are exact as Arrow; pandas, and so `to_df`, makes floats of them.
    """

    def __init__(
        self,
        compute: Callable[[], pa.Table],
        on_demand: list[OnDemandFeatureView],
        full_feature_names: bool,
        metadata: RetrievalMetadata,
    ) -> None:
        self._compute = compute
        self._on_demand = on_demand
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._compute()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._compute().to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._metadata


class _Wanted:
    """A feature view as it was asked for: its slice, where its keys stand, and what its columns are called."""

    def __init__(self, view: FeatureView, surroundings: Surroundings, refs: list[str], full: bool) -> None:
        self.slice: Slice = agree(view, surroundings)
        own = view.projection.name_to_use()
        prefix = f"{view.projection.name_alias or view.name}__" if full else ""
        names = [name for one, _, name in (ref.partition(":") for ref in refs) if one == own]
        self.columns = {name: f"{prefix}{name}" for name in names}
        self.keys = {key: view.projection.join_key_map.get(key, key) for key in self.slice.keys}


def _historical(surroundings: Surroundings, wanted: list[_Wanted], given: pa.Table, moment: str) -> pa.Table:
    times = _instants(given, moment)
    archive = surroundings.profile.open_archive(surroundings.declaration)
    declarations = [one.slice.declaration for one in wanted]
    before = int(times.max()) if len(times) else 0
    streams = streams_read(declarations, archive, before) if wanted else {}
    changes = changes_read(declarations, archive) if wanted else {}
    result = given
    for one in wanted:
        keys = {key: _keys(given, name, one.slice.keys[key]) for key, name in one.keys.items()}
        found = vectors(one.slice.declaration, pa.table({"t": times, **keys}), streams, changes).table
        for name, called in one.columns.items():
            result = result.append_column(called, _plain(found.column(name)))
    return result


def _instants(given: pa.Table, moment: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    column = given.column(moment)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pa.chunked_array([pa.array(pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601"))])
    if not pa.types.is_timestamp(column.type) or column.null_count:
        raise FeatureError(_SUBJECT, f"column {moment!r} is not an instant in every row", "give each row one")
    units = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
    times, by = units[column.type.unit]
    found: np.ndarray[Any, np.dtype[np.int64]] = column.cast(pa.int64()).to_numpy() * times // by
    return found


def _keys(given: pa.Table, name: str, kind: ColumnType) -> pa.ChunkedArray:
    """A column of keys in the type that the project declares. A time may be given in ms, or as a timestamp."""
    if name not in given.column_names:
        raise FeatureError(_SUBJECT, f"the entity dataframe has no column {name!r}", "add this join key")
    column = given.column(name)
    try:
        if kind.kind == "time" and pa.types.is_timestamp(column.type):
            return column.cast(pa.timestamp("ms"), safe=False)
        return column.cast(pa.int64()).cast(kind.arrow) if kind.kind == "time" else column.cast(kind.arrow)
    except pa.ArrowInvalid as error:
        raise FeatureError(_SUBJECT, f"join key {name!r} is not {kind}: {error}", "give it in this type") from error


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A time as its ms."""
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
