"""The online store on a Redis that speaks TLS only."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import certify

from headrace.errors import FeatureError, StoreUnavailable
from headrace.features.redis import RedisStore


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_tls_with_an_authority_of_ones_own(redis_server: Callable[..., Any], tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    certify(tmp_path)
    port = free_port()
    own = ["--tls-cert-file", str(tmp_path / "b.pem"), "--tls-key-file", str(tmp_path / "b.key")]
    redis_server(
        "--tls-port", str(port), *own, "--tls-ca-cert-file", str(tmp_path / "ca.pem"), "--tls-auth-clients", "no"
    )
    address = f"rediss:127.0.0.1:{port}/0"
    store = RedisStore(f"{address}?prefix=a:&ca={tmp_path / 'ca.pem'}")
    store.apply(None, {}, {("t", 0): 7}, None)
    assert store.position() == {("t", 0): 7}
    store.close()
    for stranger in ("", f"?ca={tmp_path / 'other.pem'}"):
        with pytest.raises(StoreUnavailable, match="certificate"):
            RedisStore(address + stranger)
    with pytest.raises(FeatureError, match="is no file of certificates"):
        RedisStore(f"{address}?ca={tmp_path / 'none.pem'}")
    with pytest.raises(FeatureError, match="for rediss: alone"):
        RedisStore(f"redis:127.0.0.1:{port}/0?ca={tmp_path / 'ca.pem'}")
