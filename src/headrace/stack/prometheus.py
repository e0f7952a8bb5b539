"""Prometheus and Alertmanager. Rules and targets are files that anyone may add, in the stack's home."""

from __future__ import annotations

from headrace.stack.packages import ALERTMANAGER, PROMETHEUS
from headrace.stack.place import Place
from headrace.stack.server import Launch, Server
from headrace.stack.web import get


class Prometheus(Server):
    name = "prometheus"
    ports = ("prometheus",)
    package = PROMETHEUS
    memory = 120

    def launch(self, place: Place) -> Launch:
        folder = place.config(self.name)
        for kind in ("rules", "targets"):
            (folder / kind).mkdir(exist_ok=True)
        flink = ", ".join(f'"{place.address(port)}"' for port in ("jobmanager-metrics", "taskmanager-metrics"))
        (folder / "prometheus.yml").write_text(f"""\
global:
  scrape_interval: 5s
  evaluation_interval: 5s
rule_files: ["{folder}/rules/*.yml"]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["{place.address("alertmanager")}"]}}]
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ["{place.address("prometheus")}"]}}]
  - job_name: flink
    static_configs: [{{targets: [{flink}]}}]
  - job_name: headrace
    file_sd_configs: [{{files: ["{folder}/targets/*.json"], refresh_interval: 5s}}]
""")
        return Launch(
            (
                str(PROMETHEUS.program()),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={place.data(self.name)}",
                "--storage.tsdb.retention.time=15d",
                f"--web.listen-address={place.address(self.name)}",
                "--web.enable-lifecycle",
            )
        )

    def ask(self, place: Place) -> None:
        get(f"{self.address(place)}/-/ready")

    def address(self, place: Place) -> str:
        return place.url(self.name)


class Alertmanager(Server):
    name = "alertmanager"
    ports = ("alertmanager",)
    package = ALERTMANAGER
    memory = 50

    def launch(self, place: Place) -> Launch:
        file = place.config(self.name) / "alertmanager.yml"
        if not file.exists():  # where to send alerts is the owner's to say
            file.write_text("route: {receiver: nobody, group_wait: 1s}\nreceivers: [{name: nobody}]\n")
        return Launch(
            (
                str(ALERTMANAGER.program()),
                f"--config.file={file}",
                f"--storage.path={place.data(self.name)}",
                f"--web.listen-address={place.address(self.name)}",
                "--cluster.listen-address=",
            )
        )

    def ask(self, place: Place) -> None:
        get(f"{self.address(place)}/-/ready")

    def address(self, place: Place) -> str:
        return place.url(self.name)
