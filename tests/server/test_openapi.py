"""The description of the HTTP edge is true: it names what there is, and what is answered is what it says."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_string
from http.client import HTTPMessage
from typing import Any, cast
from urllib.parse import quote, urlencode

import pytest
import requests
import schemathesis
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from schemathesis import Case
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key
from tests.tools.daemons import Daemon, LiveIam, change, make_site, serve
from tests.tools.http import FORM, JSON, Answer, Web
from tests.tools.programs import wait_for
from ttscache import errors
from ttscache.broker.readiness import Status
from ttscache.errors import TtsError
from ttscache.identity.settings import CREDMON_AUDIENCE
from ttscache.mapping.exports import Format
from ttscache.model import Pod, SessionState
from ttscache.sandbox.iam.faults import Fault
from ttscache.server.answers import INTERNAL_CODE, TOKEN_PATH, error_answer
from ttscache.server.application import admin_application, application
from ttscache.server.credentials import pod_json
from ttscache.server.openapi import description
from ttscache.server.services import Current, Services
from ttscache.server.token_endpoint import ACCESS_TOKEN_TYPE, CONDOR_IDTOKEN_TYPE, GRANT_TYPE, X509_PROXY_TYPE

DOCUMENT = description()
OPERATIONS = [
    (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
]
SECURED = [(method, path) for method, path in OPERATIONS if DOCUMENT["paths"][path][method.lower()]["security"]]
ADMIN = [(method, path) for method, path in SECURED if path.startswith("/admin/")]
WITH_BODY = [(method, path) for method, path in OPERATIONS if "requestBody" in DOCUMENT["paths"][path][method.lower()]]
# probes are asked in all kinds of ways, and RFC 6749 section 3.2 ignores what it does not know
LENIENT = {"/healthz", "/readyz", "/metrics", TOKEN_PATH}

BASE = "urn:openapi"
REGISTRY: Registry[Any] = Registry().with_resource(BASE, Resource.from_contents(DOCUMENT, DRAFT202012))

STORAGE = ("https://xcache.example", "https://storage.example")
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MISSPELT = b'{"raeson": "none"}'


def at(place: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
    part: Any = DOCUMENT
    for step in place:
        part = part[step]
    return part


def follow(place: tuple[str, ...]) -> tuple[str, ...]:
    """Return where something stands, behind its references."""
    part = at(place)
    return follow(tuple(part["$ref"].split("/")[1:])) if "$ref" in part else place


def require_valid(value: object, place: tuple[str, ...]) -> None:
    """Require what the schema at a place asks for."""
    pointer = "/".join(quote(step.replace("~", "~0").replace("/", "~1")) for step in place)
    validator = Draft202012Validator(
        {"$ref": f"{BASE}#/{pointer}"}, registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    assert [error.message for error in validator.iter_errors(value)] == []


def conforms(answer: Answer, method: str, path: str) -> Answer:
    """Require that an answer of an operation is described: its status, its headers, its body."""
    responses = ("paths", path, method.lower(), "responses")
    assert str(answer.status) in at(responses), answer.body
    place = follow((*responses, str(answer.status)))
    for name in at((*place, "headers")):
        header = (*follow((*place, "headers", name)), "schema")
        value = answer.headers[name]
        assert value is not None, f"without {name}"
        require_valid(int(value) if at(header).get("type") == "integer" else value, header)
    if "content" not in at(place):
        assert answer.body == b""
        return answer
    kind = answer.headers.get_content_type()
    assert kind in at((*place, "content"))
    if "schema" in at((*place, "content", kind)):
        body = json.loads(answer.body) if kind.endswith("json") else answer.body.decode()
        require_valid(body, (*place, "content", kind, "schema"))
    return answer


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, iam: LiveIam) -> Iterator[Daemon]:
    """A daemon that others have nothing to do with: here sessions are revoked and configurations reloaded."""
    directory = tmp_path_factory.mktemp("described")
    site = make_site(directory, iam)
    change(site, _extend)
    with serve(site, directory) as running:
        yield running
        log = running.log()
    assert [line for line in log if line["event"] in {"request_failed", "Unhandled exception"}] == []


def _extend(document: dict[str, Any]) -> None:
    document["server"]["deadline"] = "3s"
    document["admin"] = {"tokens": [{"issuer": "sandbox", "groups": ["/cms/ttscache-admins"]}]}
    document["sessions"] = [{"name": "site", "issuer": "sandbox", "client_credentials": True}]
    document["limits"] = {"duplicates": "1/1h"}
    document["profiles"]["storage"] = {"type": "access-token", "lifetime": "10m", "audiences": list(STORAGE)}
    document["profiles"]["longer"] = {
        "type": "access-token",
        "lifetime": "24h",
        "max_lifetime": "24h",
        "audiences": list(STORAGE),
    }
    for rule in document["mapping"]:
        rule["profiles"].append("longer")


@pytest.fixture(scope="module")
def admin(iam: LiveIam) -> str:
    return iam.token("admin")


# --- what it names is what there is


def test_the_document_is_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_the_served_document_is_this_one(web: Web) -> None:
    assert web.get("/openapi.json").json == {**DOCUMENT, "servers": [{"url": web.url}]}


async def _no_reload() -> tuple[str, ...]:
    return ()


def test_every_route_is_described_and_nothing_else() -> None:
    # which routes there are does not depend on what is behind them
    current = Current(cast("Services", None), _no_reload)
    routes, at_home = (
        {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
        for app in (application(current), admin_application(current))
    )
    heads = {("HEAD", path) for method, path in OPERATIONS if (method, path) not in SECURED and method == "GET"}
    assert routes == set(OPERATIONS) | heads
    assert at_home < routes


def _leaves() -> list[type[TtsError]]:
    def below(kind: type[TtsError]) -> Iterator[type[TtsError]]:
        kinds = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
        for each in kinds:
            yield from below(each)
        if not kinds:
            yield kind

    return list(below(TtsError))


def test_the_codes_are_those_of_the_errors() -> None:
    codes = DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"]
    assert len(codes) == len(set(codes))
    assert set(codes) == {kind.code for kind in _leaves()} | {INTERNAL_CODE}


def _is_described(error: TtsError | None, method: str, path: str) -> bool:
    response = error_answer(error, path, "0123456789abcdef")
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    answer = Answer(response.status, message_from_string(headers, _class=HTTPMessage), (response.text or "").encode())
    try:
        conforms(answer, method, path)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("kind", [*_leaves(), None])
def test_every_error_is_described_where_it_can_be(kind: type[TtsError] | None) -> None:
    error = None if kind is None else kind("what was wrong")
    described = {path for method, path in OPERATIONS if _is_described(error, method, path)}
    code = INTERNAL_CODE if kind is None else kind.code
    # what comes of the subject token's request alone; and what has no place there
    if code in {"audience_refused", "scope_refused"}:
        assert described == {TOKEN_PATH}
    else:
        assert described - {TOKEN_PATH}
        assert (TOKEN_PATH in described) == (code not in {"not_found", "admin_required"})


@pytest.mark.parametrize(
    "name, values",
    [("MapfileFormat", Format), ("KeyKind", KeyKind), ("Status", Status), ("SessionState", SessionState)],
)
def test_what_is_listed_is_listed_whole(name: str, values: type[Format | KeyKind | Status | SessionState]) -> None:
    assert DOCUMENT["components"]["schemas"][name]["enum"] == [each.value for each in values]


def test_a_pod_is_told_as_it_says() -> None:
    pod = Pod(cluster="cluster", namespace="cms-site", service_account="wn", name="wn-0", uid="0")
    require_valid(pod_json(pod), ("components", "schemas", "Pod"))


# --- what is answered is what it says


@dataclass(frozen=True)
class Ask:
    """A request, and the status of its answer. ``values`` are those of the path, where the usual are not meant."""

    method: str
    path: str
    status: int
    who: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    first: "tuple[Ask, ...]" = ()

    @property
    def operation(self) -> tuple[str, str]:
        return self.method, self.path


def _form(**changed: str) -> bytes:
    fields = {"grant_type": GRANT_TYPE, "subject_token_type": ACCESS_TOKEN_TYPE, **changed}
    return urlencode({name: value for name, value in fields.items() if value}).encode()


def _exchange(status: int, **changed: str) -> Ask:
    """Return a token exchange; a name in capitals stands for a token of this user's."""
    return Ask("POST", TOKEN_PATH, status, headers=FORM, body=_form(**{"subject_token": "JANE", **changed}))


def _access_token(status: int, **changed: str) -> Ask:
    return _exchange(status, requested_token_type=ACCESS_TOKEN_TYPE, **changed)


def _document(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _identity(act: str, *first: Ask) -> Ask:
    body = _document(issuer="sandbox", subject="nobody", reason="test")
    return Ask("POST", f"/admin/v1/identities/{act}", 200, "admin", body=body, first=first)


PROXY, WHOAMI, CA, REDEEM = "/v1/proxy", "/v1/whoami", "/trust/ca.pem", "/v1/credentials/x509/redeem"
SESSIONS, CREDENTIALS, MAPFILE = "/admin/v1/sessions", "/admin/v1/credentials", "/admin/v1/mapfiles/{format}"
REVOKE_SESSION, REVOKE_CREDENTIAL = "/admin/v1/sessions/{id}/revoke", "/admin/v1/credentials/{serial}/revoke"
OPEN, REVOKE, RESTORE = (
    "/admin/v1/standing/{name}/open",
    "/admin/v1/identities/revoke",
    "/admin/v1/identities/restore",
)
KNOWN = {"If-None-Match": "*"}

ASKS = {
    "metadata": Ask("GET", "/.well-known/oauth-authorization-server", 200),
    "token": _exchange(200),
    "token shortened": _exchange(200, profile="short", lifetime="3600"),
    "idtoken": _exchange(200, requested_token_type=CONDOR_IDTOKEN_TYPE),
    "access token": _access_token(200),
    "access token as asked": _access_token(200, audience=STORAGE[1], scope="storage.read:/cms", lifetime="600"),
    "access token for a resource": _access_token(200, resource=STORAGE[1]),
    "access token shortened": _access_token(200, profile="longer"),
    "access token for another": _access_token(400, audience="https://elsewhere.example"),
    "access token to write": _access_token(400, scope="storage.modify:/"),
    "access token to refresh": _access_token(400, scope="storage.read:/ offline_access"),
    "access token for too long": _access_token(400, lifetime="1000000"),
    "access token of another type": _access_token(400, profile="pilot"),
    "access token for a csr": _access_token(400, csr="garbage"),
    "access token for two in one": _access_token(400, audience=" ".join(STORAGE)),
    "access token for what cannot be read": _access_token(400, resource="https://\u202excache.example"),
    "access token for a long name": _access_token(400, audience="x" * 256),
    "access token for many": Ask(
        "POST", TOKEN_PATH, 400, headers=FORM, body=_form() + b"".join(b"&audience=%d" % n for n in range(101))
    ),
    "access token to do a lot": _access_token(400, scope=" ".join(f"storage.read:/{n}" for n in range(101))),
    "access token in vain": _access_token(400, subject_token="NOBODY"),
    "idtoken for an audience": _exchange(400, requested_token_type=CONDOR_IDTOKEN_TYPE, audience=STORAGE[0]),
    "no subject token": _exchange(400, subject_token=""),
    "malformed subject token": _exchange(400, subject_token="garbage"),
    "another grant": _exchange(400, grant_type="password"),
    "audience": _exchange(400, audience="https://elsewhere.example"),
    "scope": _exchange(400, scope="storage.read:/"),
    "token refused": _exchange(400, profile="nothing", requested_token_type=X509_PROXY_TYPE),
    "mapping refuses a token": _exchange(400, subject_token="NOBODY"),
    "no form": Ask("POST", TOKEN_PATH, 400, body=b"{}", headers=JSON),
    "proxy": Ask("GET", PROXY, 200, "jane"),
    "proxy as json": Ask("GET", PROXY, 200, "jane", "profile=short&fqan=&lifetime=600&limited=true", JSON),
    "proxy known": Ask("GET", PROXY, 304, "jane", headers=KNOWN),
    "unknown profile": Ask("GET", PROXY, 400, "jane", "profile=nothing"),
    "expired": Ask("GET", PROXY, 401, "expired"),
    "mapping refuses": Ask("GET", PROXY, 403, "nobody"),
    "fqan refused": Ask("GET", PROXY, 403, "jane", "fqan=/cms/Role=admin"),
    "exchange refused": Ask("GET", PROXY, 403, "stranger"),
    "made proxy": Ask("POST", PROXY, 200, "jane"),
    "made proxy as json": Ask("POST", PROXY, 200, "jane", headers=JSON, body=_document(profile=None, fqans=["/cms"])),
    "csr invalid": Ask("POST", PROXY, 400, "jane", body=_document(csr="garbage")),
    "no json": Ask("POST", PROXY, 400, "jane", body=b"garbage"),
    "lifetime refused": Ask("POST", PROXY, 403, "jane", body=_document(lifetime=10**9)),
    "whoami": Ask("GET", WHOAMI, 200, "jane"),
    "whoami refused": Ask("GET", WHOAMI, 200, "nobody"),
    "whoami expired": Ask("GET", WHOAMI, 401, "expired"),
    "redeemed": Ask("POST", REDEEM, 200, "jane", body=b"{}"),
    "redeemed without a body": Ask("POST", REDEEM, 200, "jane"),
    "redeemed by a credmon": Ask("POST", REDEEM, 200, "credmon"),
    "a credmon elsewhere": Ask("POST", PROXY, 401, "credmon"),
    "redeem expired": Ask("POST", REDEEM, 401, "expired"),
    "redeem refused": Ask("POST", REDEEM, 403, "nobody"),
    "redeem no json": Ask("POST", REDEEM, 400, "jane", body=b"garbage"),
    "redeem what is asked for": Ask("POST", REDEEM, 400, "jane", body=_document(profile="pilot")),
    "ca": Ask("GET", CA, 200),
    "ca known": Ask("GET", CA, 304, headers=KNOWN),
    "crl": Ask("GET", "/trust/crl.der", 200),
    "crl known": Ask("GET", "/trust/crl.der", 304, headers=KNOWN),
    "anchors": Ask("GET", "/trust/anchors.tar.gz", 200),
    "anchors known": Ask("GET", "/trust/anchors.tar.gz", 304, headers=KNOWN),
    "vomsdir": Ask("GET", "/trust/vomsdir.tar.gz", 200),
    "vomsdir known": Ask("GET", "/trust/vomsdir.tar.gz", 304, headers=KNOWN),
    "healthz": Ask("GET", "/healthz", 200),
    "readyz": Ask("GET", "/readyz", 200),
    "metrics": Ask("GET", "/metrics", 200),
    "openapi": Ask("GET", "/openapi.json", 200),
    "sessions": Ask("GET", SESSIONS, 200, "admin", first=(Ask("GET", PROXY, 200, "jane"),)),
    "a page of sessions": Ask("GET", SESSIONS, 200, "admin", "limit=1&issuer=sandbox&after=0"),
    "limit": Ask("GET", SESSIONS, 400, "admin", "limit=0"),
    "revoked session": Ask("POST", REVOKE_SESSION, 200, "admin", body=_document(reason="test")),
    "no session": Ask("POST", REVOKE_SESSION, 404, "admin", values={"id": "nothing"}),
    "opened": Ask("POST", OPEN, 200, "admin", first=(Ask("POST", REVOKE_SESSION, 200, "admin"),)),
    "not configured": Ask("POST", OPEN, 404, "admin", values={"name": "nothing"}),
    "credentials": Ask("GET", CREDENTIALS, 200, "admin", first=(Ask("GET", PROXY, 200, "jane"),)),
    "a page of credentials": Ask("GET", CREDENTIALS, 200, "admin", "subject=nobody&limit=1000"),
    "revoked credential": Ask("POST", REVOKE_CREDENTIAL, 200, "admin", body=b"{}"),
    "no serial": Ask("POST", REVOKE_CREDENTIAL, 400, "admin", values={"serial": "nothing"}),
    "no credential": Ask("POST", REVOKE_CREDENTIAL, 404, "admin", values={"serial": "1"}),
    "revoked identities": Ask("GET", "/admin/v1/identities/revoked", 200, "admin", first=(_identity("revoke"),)),
    "revoked identity": _identity("revoke"),
    "issuer not configured": Ask("POST", REVOKE, 400, "admin", body=_document(issuer="x", subject="x")),
    "subject too long": Ask("POST", REVOKE, 400, "admin", body=_document(issuer="sandbox", subject="x" * 256)),
    "restored": _identity("restore", _identity("revoke")),
    "not revoked": Ask("POST", RESTORE, 404, "admin", body=_document(issuer="sandbox", subject="somebody")),
    **{form.value: Ask("GET", MAPFILE, 200, "admin", values={"format": form.value}) for form in Format},
    "no format": Ask("GET", MAPFILE, 404, "admin", values={"format": "nothing"}),
    "no issuer": Ask("GET", MAPFILE, 400, "admin", "issuer=sandbox"),
    "statistics": Ask("GET", "/admin/v1/statistics", 200, "admin"),
    "reload": Ask("POST", "/admin/v1/reload", 200, "admin"),
}


@dataclass(frozen=True)
class Caller:
    """Asks the daemon, as whoever is wanted and about what is there."""

    web: Web
    iam: LiveIam

    def ask(self, wanted: Ask) -> Answer:
        for each in wanted.first:
            self.ask(each)
        path = self.path(wanted.path, wanted.values)
        token = self._token(wanted.who) if wanted.who else None
        answer = self.web.call(
            wanted.method, f"{path}?{wanted.query}".rstrip("?"), wanted.headers, self._body(wanted), token
        )
        assert answer.status == wanted.status, answer.body
        return conforms(answer, *wanted.operation)

    def path(self, template: str, values: Mapping[str, str]) -> str:
        usual: dict[str, Callable[[], str]] = {
            "id": self._session,
            "serial": self._serial,
            "name": lambda: "site",
            "format": lambda: "condor",
        }
        for name, make in usual.items():
            if f"{{{name}}}" in template:
                template = template.replace(f"{{{name}}}", values.get(name) or make())
        return template

    def _body(self, wanted: Ask) -> bytes | None:
        if wanted.body is None or wanted.path != TOKEN_PATH:
            return wanted.body
        body = wanted.body
        for who in ("jane", "nobody"):
            body = body.replace(who.upper().encode(), self._token(who).encode())
        return body

    def _token(self, who: str) -> str:
        if who == "nobody":
            return self.iam.token(scope="openid profile")
        if who == "expired":
            return self.iam.crafted(claims={"exp": 1_000_000_000})
        if who == "credmon":
            return self.iam.token(audience=CREDMON_AUDIENCE)
        if who == "stranger":
            return self.iam.crafted("joe", claims={"sub": "suspended"})
        return self.iam.token(who)

    def _session(self) -> str:
        """Return the id of the standing session, which is open."""
        self.ask(Ask("POST", OPEN, 200, "admin"))
        found = self.ask(Ask("GET", SESSIONS, 200, "admin", "limit=1000")).json["entries"]
        return next(str(each["id"]) for each in found if each["session"] == "site")

    def _serial(self) -> str:
        """Return the serial of jane's end-entity certificate, which is not revoked."""
        self.ask(Ask("GET", PROXY, 200, "jane"))
        found = self.ask(Ask("GET", CREDENTIALS, 200, "admin", "limit=1000")).json["entries"]
        return next(str(each["eec_serial"]) for each in found if each["kind"] == "end-entity" and not each["revoked"])


@pytest.fixture
def caller(web: Web, iam: LiveIam) -> Caller:
    return Caller(web, iam)


def test_every_operation_is_seen_to_succeed() -> None:
    assert {each.operation for each in ASKS.values() if each.status == 200} == set(OPERATIONS)


@pytest.mark.parametrize("name", ASKS)
def test_what_is_answered_is_described(caller: Caller, name: str) -> None:
    caller.ask(ASKS[name])


def _there(path: str) -> str:
    """Return a path at which everything before its handler can be seen."""
    return path.format(id="x", serial="1", name="x", format="condor")


@pytest.mark.parametrize("method, path", SECURED)
def test_without_a_token(web: Web, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer garbage"}):
        answer = conforms(web.call(method, _there(path), headers), method, path)
        assert answer.status == 401


@pytest.mark.parametrize("method, path", ADMIN)
def test_without_being_an_administrator(web: Web, token: str, method: str, path: str) -> None:
    answer = conforms(web.call(method, _there(path), token=token), method, path)
    assert (answer.status, answer.code) == (403, "admin_required")


@pytest.mark.parametrize("method, path", [each for each in OPERATIONS if each[1] not in LENIENT])
def test_a_misspelt_parameter(web: Web, admin: str, method: str, path: str) -> None:
    answer = conforms(web.call(method, f"{_there(path)}?misspelt=1", token=admin), method, path)
    assert (answer.status, answer.code) == (400, "request_invalid")


@pytest.mark.parametrize("method, path", WITH_BODY)
def test_a_misspelt_field_and_too_large_a_body(web: Web, admin: str, method: str, path: str) -> None:
    for body, status in ((MISSPELT, 400), (b" " * (128 * 1024 + 1), 413)):
        answer = conforms(web.call(method, _there(path), body=body, token=admin), method, path)
        assert answer.status == status


@pytest.mark.parametrize("method, path", OPERATIONS)
def test_heads_that_are_not_read(web: Web, method: str, path: str) -> None:
    for header, status in (("Expect: nonsense", 400), ("X-Big: " + "a" * 30_000, 431)):
        request = f"{method} {_there(path)} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n"
        assert conforms(web.raw(request.encode()), method, path).status == status


def test_a_csr_and_too_much_for_one_key(caller: Caller) -> None:
    one, other = (make_csr(generate_key(KeyKind.RSA_2048)).decode() for _ in range(2))
    caller.ask(Ask("POST", PROXY, 200, "jane", headers=JSON, body=_document(csr=one)))
    caller.ask(Ask("POST", PROXY, 429, "jane", headers=JSON, body=_document(csr=one)))
    caller.ask(_exchange(200, csr=other))
    caller.ask(_exchange(429, csr=other))


def test_the_issuer_fails(caller: Caller, iam: LiveIam) -> None:
    iam.fault(Fault(endpoint="token", grant="token_exchange", status=503, body="html", retry_after="1"))
    caller.ask(Ask("GET", PROXY, 503, "joe"))
    caller.ask(Ask("POST", PROXY, 503, "joe"))
    caller.ask(Ask("POST", REDEEM, 503, "joe"))
    caller.ask(_exchange(503, subject_token=iam.token("joe")))
    caller.ask(_access_token(503, subject_token=iam.token("joe")))
    iam.clear_faults()
    joe = iam.token("joe")
    wait_for(lambda: caller.web.get(PROXY, joe).status == 200 or None, lambda: "IAM is back and not used")


def test_redeemed_by_who_is_revoked(caller: Caller, iam: LiveIam) -> None:
    joe = {"issuer": "sandbox", "subject": iam.config.user("joe").sub, "reason": "test"}
    caller.ask(Ask("POST", REVOKE, 200, "admin", body=_document(**joe)))
    try:
        assert caller.ask(Ask("POST", REDEEM, 404, "joe")).code == "subject_revoked"
        caller.ask(Ask("GET", PROXY, 403, "joe"))
        caller.ask(_access_token(400, subject_token=iam.token("joe")))
    finally:
        caller.ask(Ask("POST", RESTORE, 200, "admin", body=_document(**joe)))


def test_a_configuration_that_is_wrong_is_told(caller: Caller, daemon: Daemon) -> None:
    right = daemon.site.configuration.read_text()
    daemon.site.configuration.write_text(right + "unknown: 1\n")
    try:
        answer = caller.ask(Ask("POST", "/admin/v1/reload", 400, "admin"))
    finally:
        daemon.site.configuration.write_text(right)
    assert "unknown" in answer.json["detail"]


# --- whatever is sent


# that this is what is served is told above
API = schemathesis.openapi.from_dict(
    DOCUMENT,
    config=SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "generation": {"deterministic": True, "database": "none", "max-examples": 5},
            # a method that is not described is no operation
            "phases": {"coverage": {"unexpected-methods": []}},
        }
    ),
)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as line:
        line.trust_env = False
        yield line


# a reload takes longer than all else together, and its body is that of other acts
@API.exclude(path="/admin/v1/reload").parametrize()
def test_whatever_is_sent(case: Case[Any], session: requests.Session, daemon: Daemon, token: str, admin: str) -> None:
    if case.path == TOKEN_PATH and isinstance(case.body, dict) and "subject_token" in case.body:
        case.body["subject_token"] = token
    headers = {"Authorization": f"Bearer {admin if case.path.startswith('/admin/') else token}"}
    case.call_and_validate(daemon.web.url, session, headers, CHECKS, verify=str(daemon.web.ca_file))
