"""The schema registry: Apicurio, which speaks Confluent's API and keeps its schemas in PostgreSQL."""

from __future__ import annotations

from headrace.stack.jars import REGISTRY
from headrace.stack.place import Place
from headrace.stack.ports import LOOPBACK
from headrace.stack.postgres import USER
from headrace.stack.server import Launch, Server
from headrace.stack.web import get_json, send_json


class Registry(Server):
    name = "registry"
    ports = ("registry", "registry-management")
    after = ("postgres",)
    jars = REGISTRY
    java = 21
    memory = 450

    def launch(self, place: Place) -> Launch:
        settings = {
            "quarkus.http.host": LOOPBACK,
            "quarkus.http.port": place.ports["registry"],
            "quarkus.management.host": LOOPBACK,
            "quarkus.management.port": place.ports["registry-management"],
            "quarkus.http.access-log.enabled": "false",
            "quarkus.otel.sdk.disabled": "true",
            "apicurio.storage.kind": "sql",
            "apicurio.storage.sql.kind": "postgresql",
            "apicurio.datasource.url": f"jdbc:postgresql://{place.address('postgres')}/registry",
            "apicurio.datasource.username": USER,
            "apicurio.datasource.password": USER,
            "apicurio.datasource.jdbc.initial-size": 2,
            "apicurio.datasource.jdbc.min-size": 2,
            "apicurio.datasource.jdbc.max-size": 10,
            "apicurio.storage.snapshot.location": place.data(self.name),
            "apicurio.import.work-dir": place.data(self.name),
        }
        return Launch(
            (
                str(place.java(self.java, "the registry").java),
                "-Xms128m",
                "-Xmx384m",
                "-XX:+ExitOnOutOfMemoryError",
                *(f"-D{key}={value}" for key, value in settings.items()),
                "-jar",
                str(REGISTRY.folder(place.cache) / "quarkus-run.jar"),
            )
        )

    def ask(self, place: Place) -> None:
        get_json(f"{self.address(place)}/subjects")

    def settle(self, place: Place) -> None:
        """It checks nothing until it is told to."""
        url = f"{self.address(place)}/config"
        if get_json(url).get("compatibilityLevel", "NONE") == "NONE":
            send_json("PUT", url, {"compatibility": "BACKWARD"})

    def address(self, place: Place) -> str:
        return f"{place.url('registry')}/apis/ccompat/v7"
