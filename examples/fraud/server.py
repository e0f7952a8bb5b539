"""The PostgreSQL that holds the merchants: yours where PGHOST names one, else the stack's on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

STACK = Path(".headrace") / "stack" / "stack.toml"


def lead_to_server(folder: Path) -> str:
    """Sets the variables of PostgreSQL's clients, which the project's `postgresql:///#merchants` follows; where to.

    folder: where the stack lives, if one is started.
    """
    if "PGHOST" not in os.environ:
        subprocess.run([sys.executable, "-m", "headrace", "stack", "up", "postgres"], cwd=folder, check=True)
        profile = tomllib.loads((folder / STACK).read_text())["profiles"]["cluster"]
        at = urlsplit(profile["lookup"])
        os.environ |= {
            "PGHOST": at.hostname or "",
            "PGPORT": str(at.port or 5432),
            "PGUSER": at.username or "",
            "PGPASSWORD": at.password or "",
            "PGDATABASE": at.path.strip("/"),
        }
    return f"{os.environ['PGHOST']}:{os.environ.get('PGPORT', '5432')}"


def load(file: Path) -> int:
    """Fills the table `merchants` from a CSV file; the rows it then has."""
    with psycopg.connect("postgresql:///") as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS merchants"
            " (merchant text PRIMARY KEY, sector text, country text, risk double precision)"
        )
        connection.execute("TRUNCATE merchants")
        with connection.cursor() as cursor, cursor.copy("COPY merchants FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(file.read_bytes())
        rows = connection.execute("SELECT count(*) FROM merchants").fetchone()
    return 0 if rows is None else int(rows[0])


if __name__ == "__main__":
    here = Path(__file__).parent
    print(f"merchants in PostgreSQL at {lead_to_server(here)}")
    print(f"{load(here / 'data' / 'merchants.csv'):,} rows")
