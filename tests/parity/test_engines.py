"""The same hard input through both engines: equal record by record, dead letter by dead letter, tile by tile."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.parity import inputs, results

from headrace.compile.load import load
from headrace.compile.tiles import TILE
from headrace.declare.declaration import Declaration
from headrace.log.batches import Framed, Record
from headrace.log.contract import Log, Topic
from headrace.log.sqlite import SqliteLog
from headrace.schema.contract import Schemas
from headrace.schema.folder import FolderSchemas
from headrace.stream.enricher import Enricher
from headrace.stream.tables import Tables
from headrace.stream.tiler import Tiler
