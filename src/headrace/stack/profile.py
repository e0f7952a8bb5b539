"""`stack.toml`: the ports that were chosen, and the profile `cluster` that leads to them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from headrace.errors import StackError
from headrace.stack.flink import checkpoints, savepoints
from headrace.stack.place import Place
from headrace.stack.servers import SERVERS


def read_ports(file: Path) -> dict[str, int]:
    """Those of an earlier start; none before the first."""
    if not file.is_file():
        return {}
    try:
        ports: dict[str, int] = tomllib.loads(file.read_text()).get("ports", {})
    except tomllib.TOMLDecodeError as error:
        raise StackError(str(file), f"it is not TOML: {error}", "remove it; ports are chosen anew") from error
    return ports


def write_profile(file: Path, place: Place) -> None:
    """All addresses, whether their servers run or not."""
    at = {name: server.address(place) for name, server in SERVERS.items()}
    tables = {
        "profiles.cluster": {
            "log": f"kafka:{at['kafka-1']}",
            "schemas": f"registry:{at['registry']}",
            "engine": f"flink:{at['gateway']}",
            "lookup": at["postgres"],
            "online": f"redis:{place.address('redis')}/0",
        },
        "profiles.cluster.flink": {"rest": at["jobmanager"], "checkpoints": checkpoints(place).as_uri()},
        "servers": {
            "prometheus": at["prometheus"],
            "alertmanager": at["alertmanager"],
            "savepoints": savepoints(place).as_uri(),
        },
    }
    text = "# Written by `headrace stack up`; read again by the next one.\n"
    for title, values in tables.items():
        text += f"\n[{title}]\n" + "".join(f'{key} = "{value}"\n' for key, value in values.items())
    text += "\n[ports]\n" + "".join(f"{name} = {port}\n" for name, port in place.ports.items())
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)
