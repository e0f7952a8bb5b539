"""Schemas in a registry that speaks Confluent's API (Apicurio, Confluent, Karapace)."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from headrace.errors import IncompatibleSchema, MissingExtra, SchemaError, UnknownSchema
from headrace.schema.checks import refuse_incompatible, refuse_malformed
from headrace.schema.contract import AvroSchema, Compatibility, Registered

if TYPE_CHECKING:
    import httpx

_PATIENCE: Final = 10.0
_LARGEST: Final = 2**31 - 1
"""An id is a signed integer of four bytes; what stands before other bytes may be anything."""
_NO_SUBJECT, _NO_SCHEMA = 40401, 40403
_TRIES: Final = 5
_JSON: Final = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class RegistrySchemas:
    """A registry of Avro schemas behind HTTP.

    url: with the path of the API. user and password, or token: of basic or bearer authorisation. ca: a file of the
    certificates to trust. What the registry cannot tell (it does not answer, or answers with an error) is a
    SchemaError, and never an unknown schema. What it has told of an id or a version holds for ever.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str = "",
        token: str | None = None,
        ca: str | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra("the schema registry", "httpx", "kafka") from error
        import ssl

        self._url = url
        try:
            verify = ssl.create_default_context(cafile=ca) if ca else True
        except (OSError, ssl.SSLError) as error:
            cause = f"the certificates in {ca} cannot be read: {error}"
            raise SchemaError(f"schema registry {url}", cause, "name a file of certificates in PEM") from error
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            timeout=_PATIENCE,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            auth=None if user is None else (user, password),
            verify=verify,
        )
        weakref.finalize(self, self._client.close)
        self._broken = httpx.HTTPError, httpx.InvalidURL
        self._by_id: dict[int, AvroSchema] = {}
        self._versions: dict[tuple[str, int], Registered] = {}

    def register(
        self, subject: str, schema: AvroSchema, compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    ) -> Registered:
        refuse_malformed(subject, schema)
        for known in self.versions(subject):
            if _same(known.schema, schema):
                return known
        self.refuse(subject, schema, compatibility)
        self._govern(subject, compatibility)
        body = {"schema": json.dumps(schema)}
        answer = self._call("POST", f"/subjects/{_quoted(subject)}/versions", body)
        if answer.status_code == 409:
            raise _incompatible(subject, [str(_said(answer).get("message", ""))])
        found = self._checked(answer)
        return next(
            known for known in self.versions(subject) if known.id == found["id"] and _same(known.schema, schema)
        )

    def refuse(
        self, subject: str, schema: AvroSchema, compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    ) -> None:
        refuse_malformed(subject, schema)
        versions = self.versions(subject)
        if not versions or any(_same(known.schema, schema) for known in versions):
            return
        refuse_incompatible(subject, schema, versions, compatibility)
        if compatibility != "NONE":
            self._refuse(subject, schema, "/latest" if compatibility == "BACKWARD" else "")

    def by_id(self, schema_id: int) -> AvroSchema:
        known = self._by_id.get(schema_id)
        if known is not None:
            return known
        if schema_id <= _LARGEST:
            found = self._ask("GET", f"/schemas/ids/{schema_id}", missing=_NO_SCHEMA)
            if found is not None:
                return self._by_id.setdefault(schema_id, self._schema(found))
        raise UnknownSchema(
            f"schema {schema_id}", f"the registry {self._url} has none with this id", "register it there"
        )

    def latest(self, subject: str) -> Registered | None:
        versions = self.versions(subject)
        return versions[-1] if versions else None

    def versions(self, subject: str) -> list[Registered]:
        numbers = self._ask("GET", f"/subjects/{_quoted(subject)}/versions", missing=_NO_SUBJECT) or []
        return [self._version(subject, number) for number in sorted(numbers)]

    def _version(self, subject: str, number: int) -> Registered:
        known = self._versions.get((subject, number))
        if known is None:
            found = self._ask("GET", f"/subjects/{_quoted(subject)}/versions/{number}")
            known = Registered(found["id"], subject, number, self._schema(found))
            self._versions[subject, number] = known
        return known

    def _govern(self, subject: str, compatibility: Compatibility) -> None:
        """Sets the subject's compatibility, again where another process makes the same rule at the same time."""
        for _ in range(_TRIES):
            answer = self._call("PUT", f"/config/{_quoted(subject)}", {"compatibility": compatibility})
            if answer.status_code != 409:
                break
        self._checked(answer)

    def _refuse(self, subject: str, schema: AvroSchema, which: str) -> None:
        """What the registry itself would refuse, for whatever reason, beside the versions `which`."""
        path = f"/compatibility/subjects/{_quoted(subject)}/versions{which}?verbose=true"
        found = self._ask("POST", path, {"schema": json.dumps(schema)}, _NO_SUBJECT)
        if found is not None and not found["is_compatible"]:
            raise _incompatible(subject, found.get("messages") or ["it does not say why"])

    def _schema(self, found: dict[str, Any]) -> AvroSchema:
        if found.get("schemaType", "AVRO") != "AVRO":
            cause = f"it is of type {found['schemaType']}"
            raise SchemaError(f"schema registry {self._url}", cause, "register an Avro schema under this subject")
        schema: AvroSchema = json.loads(found["schema"])
        return schema

    def _ask(self, method: str, path: str, body: Any = None, missing: int | None = None) -> Any:
        """The answer; None where its error is `missing`."""
        answer = self._call(method, path, body)
        if answer.status_code == 404 and missing is not None and _said(answer).get("error_code") == missing:
            return None
        return self._checked(answer)

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        try:
            return self._client.request(method, path, content=content, headers=_JSON)
        except self._broken as error:
            cause = f"it does not answer: {error or type(error).__name__}"
            remedy = "see that it runs and that its address is right, and try again"
            raise SchemaError(f"schema registry {self._url}", cause, remedy) from error

    def _checked(self, answer: httpx.Response) -> Any:
        if answer.is_success:
            try:
                return answer.json()
            except json.JSONDecodeError as error:
                cause = f"its answer to {answer.request.url.path} is not JSON"
                remedy = "give the URL with the path of Confluent's API"
                raise SchemaError(f"schema registry {self._url}", cause, remedy) from error
        remedy = "see its log, and that the URL has the path of Confluent's API"
        if answer.status_code in (401, 403):
            remedy = "correct the user, the password or the token in [profiles.<name>.schema_registry]"
        said = _said(answer).get("message") or answer.text[:300]
        cause = f"it answers {answer.status_code} to {answer.request.url.path}: {said}"
        raise SchemaError(f"schema registry {self._url}", cause, remedy)


def _said(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _quoted(subject: str) -> str:
    return quote(subject, safe="")


def _incompatible(subject: str, reasons: Sequence[str]) -> IncompatibleSchema:
    cause = f"the registry refuses the new schema: {'; '.join(reasons)}"
    return IncompatibleSchema(
        f"subject {subject}", cause, "give new fields a default, and keep the types of the others"
    )


def _same(left: AvroSchema, right: AvroSchema) -> bool:
    """Equal but for how the full name is written: a registry may split "shop.sale" into namespace and name."""
    return _split(left) == _split(right)


def _split(schema: AvroSchema) -> AvroSchema:
    space, dot, name = str(schema.get("name")).rpartition(".")
    return {**schema, "name": name, "namespace": space} if dot else schema
