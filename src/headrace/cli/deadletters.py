"""`headrace deadletters`: what failed and why; repaired records back into the stream."""

from __future__ import annotations

import typer

app = typer.Typer(help="What failed, and why; repaired records back.", no_args_is_help=True)
