"""The names of a project's topics, and the role that produces each."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.declare.declaration import Declaration


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names of one project.

    >>> Topics("demand").enriched("sale")
    'demand.enriched.sale'
    """

    project: str

    @classmethod
    def of(cls, declaration: Declaration) -> Topics:
        return cls(declaration.name)

    def enriched(self, stream: str) -> str:
        """Checked and joined records of a stream; owner: enrich."""
        return f"{self.project}.enriched.{stream}"

    def dead(self, stream: str) -> str:
        """Records of a stream that failed; owner: enrich."""
        return f"{self.project}.dead.{stream}"

    def table(self, table: str) -> str:
        """Changed and deleted rows of a table; owner: tables."""
        return f"{self.project}.table.{table}"

    @property
    def tiles(self) -> str:
        """Absolute partials of every view and the list of epochs; owner: tile."""
        return f"{self.project}.tiles"

    @property
    def history(self) -> str:
        """As `tiles`, from `headrace backfill`; owner: backfill."""
        return f"{self.project}.tiles.history"

    @property
    def cuts(self) -> str:
        """From when on each stream counts live, beside its history; owner: backfill."""
        return f"{self.project}.cuts"

    @property
    def predictions(self) -> str:
        """Predictions with their features as served; owner: serve."""
        return f"{self.project}.predictions"

    @property
    def ledger(self) -> str:
        """Alerts and retraining decisions; owner: monitor."""
        return f"{self.project}.ledger"

    @property
    def clock(self) -> str:
        """Under replay, marks: partition 0 `opened` (all that arrived before is in), 1 `closed` (all
        that was to be asked before the next step is answered); owner: producers."""
        return f"{self.project}.clock"


def topics_read(declaration: Declaration) -> dict[str, list[str]]:
    """The topics that each role works off; serve and tables, which answer and ask by themselves, have none."""
    topics = Topics.of(declaration)
    changes = [topics.table(title) for title in declaration.tables]
    viewed = dict.fromkeys(view.stream for view in declaration.views.values())
    return {
        "enrich": [stream.topic for stream in declaration.streams.values()],
        "tile": [topics.enriched(title) for title in viewed],
        "archive": [*(topics.enriched(title) for title in declaration.streams), *changes, topics.predictions],
        "online": [topics.tiles, topics.history, *changes],
        "monitor": [topics.predictions],
    }
