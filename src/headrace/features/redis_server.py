"""A Redis server: its address, connections to it, what its errors mean, and what is asked of its settings."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from headrace.errors import FeatureError, MissingExtra, StoreUnavailable

try:
    import redis
    from redis import exceptions
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry
except ImportError as error:
    raise MissingExtra("online store 'redis'", "redis", "redis") from error

_CONNECT: Final = 2.0
"""Seconds to wait for a connection."""
_REWRITE: Final = 0.01
"""Seconds between looks at a log that is written anew."""
_TRIES: Final = 3


class RedisServer:
    """One database of a server, and the prefix of a store's keys in it.

    url: as of `RedisStore`. subject: how errors call it (without a password).

    >>> server = RedisServer("redis:user:secret@host:6379/2?prefix=shop:")
    >>> server.subject, server.prefix
    ('online store redis:host:6379/2', 'shop:')
    """

    def __init__(self, url: str) -> None:
        self._address, self.prefix, self._ca, self.subject = _address(url)

    def client(self, answer: float) -> Any:
        """Connections that are made when they are needed. answer: seconds to wait for one."""
        trusted = {} if self._ca is None else {"ssl_ca_certs": self._ca}
        return redis.Redis.from_url(
            self._address,
            **trusted,
            socket_connect_timeout=_CONNECT,
            socket_timeout=answer,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), _TRIES),
        )

    def check_memory(self, client: Any) -> None:
        """FeatureError where the server may drop keys of its own accord."""
        try:
            memory = client.info("memory")
        except exceptions.NoPermissionError:
            return
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory") and policy.startswith("allkeys"):
            cause = f"it may drop tiles where memory is short (maxmemory-policy {policy})"
            raise FeatureError(self.subject, cause, "set maxmemory-policy noeviction")

    def write_log_anew(self, client: Any) -> None:
        """Has Redis write its log anew, once in each of its runs, before anything is applied in it.

        A Redis that finds its log cut in the middle of a transaction does not apply that, but leaves what there is
        of it in the file; at the next restart it would be applied with the transaction that follows it.
        """
        begun = False
        while True:
            state = client.info("persistence")
            if not state.get("aof_enabled"):
                return
            if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
                if state["aof_rewrites"] and state["aof_last_bgrewrite_status"] == "ok":
                    return
                if begun:
                    cause = "it cannot write its append-only file anew after its restart"
                    raise StoreUnavailable(self.subject, cause, "see that its disk has room, and the server's log")
                client.bgrewriteaof()
                begun = True
            time.sleep(_REWRITE)

    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.AuthenticationError, exceptions.AuthorizationError) as error:
            remedy = "give the user and password of the server in the URL: redis:user:password@host:port/db"
            raise FeatureError(self.subject, f"it refuses the login: {error}", remedy) from error
        except exceptions.NoPermissionError as error:
            remedy = (
                f"grant its user ~{self.prefix}*, and +@read +@write +@scripting +@connection +info +bgrewriteaof"
            )
            raise FeatureError(self.subject, f"it refuses a command: {error}", remedy) from error
        except exceptions.OutOfMemoryError as error:
            remedy = "raise its maxmemory, or declare shorter windows"
            raise StoreUnavailable(self.subject, f"its memory is full: {error}", remedy) from error
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            remedy = "see that the server runs and that the address is right"
            raise StoreUnavailable(self.subject, f"it does not answer: {error}", remedy) from error
        except exceptions.RedisError as error:
            remedy = "see the server's log, and that only Headrace uses these keys"
            raise FeatureError(self.subject, str(error), remedy) from error


def _address(url: str) -> tuple[str, str, str | None, str]:
    """The client's URL, the prefix of keys, a file of certificates to trust, and the name in errors."""
    scheme, _, rest = url.partition(":")
    address, _, query = rest.removeprefix("//").partition("?")
    place = re.fullmatch(r"(?:.*@)?([^@/:]+|\[.*\])(?::(\d+))?(?:/(\d+))?/?", address)
    given = parse_qs(query)
    prefix = given.get("prefix", ["hr:"])[0]
    if place is None or not re.fullmatch(r"[\w.-]+:", prefix):
        raise FeatureError(
            "online store 'redis'",
            "its URL names no server and database, or its prefix is not a word and a colon",
            "write redis:host:port/db or redis:host:port/db?prefix=shop:",
        )
    host, port, database = place.groups()
    subject = f"online store {scheme}:{host}:{port or 6379}/{database or 0}"
    ca = given.get("ca", [None])[0]
    if ca is not None and (scheme != "rediss" or not Path(ca).is_file()):
        cause = f"its ca {ca} is no file of certificates" if scheme == "rediss" else "its ca is for rediss: alone"
        raise FeatureError(subject, cause, "write rediss:host:port/db?ca=/path/of/ca.pem")
    return f"{scheme}://{address}", prefix, ca, subject
