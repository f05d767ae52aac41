"""Every error that exists: its status, its code, the form of its body, its headers."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key, load_private_key
from tests.tools.daemons import Daemon, LiveIam
from tests.tools.http import JSON, Answer, Web
from tests.tools.programs import run, wait_for
from ttscache.sandbox.iam.faults import Fault

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def _claims(iam: LiveIam) -> dict[str, Any]:
    return jwt.decode(iam.token(), options={"verify_signature": False})


def _hmac(iam: LiveIam) -> str:
    return jwt.encode(_claims(iam), "a secret that is long enough for HS256", algorithm="HS256")


def _none(iam: LiveIam) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, _claims(iam)))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


BAD_TOKENS: dict[str, tuple[str, Callable[[LiveIam], str]]] = {
    "garbage": ("token_malformed", lambda _: "garbage"),
    "three dots": ("token_malformed", lambda _: "a.b.c"),
    "too long": ("token_malformed", lambda _: "a" * 17_000),
    "expired": ("token_expired", lambda iam: iam.crafted(claims={"exp": 1_000_000_000})),
    "without exp": ("token_malformed", lambda iam: iam.crafted(omit_claims=("exp",))),
    "ahead": ("token_not_yet_valid", lambda iam: iam.crafted(claims={"nbf": 4_000_000_000})),
    "wrong key": ("token_signature", lambda iam: iam.crafted(signed_by="unknown")),
    "hmac": ("token_algorithm", _hmac),
    "none": ("token_algorithm", _none),
    "issuer": ("issuer_unknown", lambda iam: iam.crafted(claims={"iss": iam.url.rstrip("/")})),
    "audience": ("audience_mismatch", lambda iam: iam.token(audience="https://elsewhere.example")),
    "any audience": ("audience_mismatch", lambda iam: iam.crafted(claims={"aud": "https://wlcg.cern.ch/jwt/v1/any"})),
}


def is_problem(answer: Answer, status: int, code: str) -> Answer:
    """RFC 9457."""
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.headers.get_content_type() == "application/problem+json"
    assert set(answer.json) == {"type", "title", "status", "detail", "code", "request_id"}
    assert answer.json["status"] == status
    return _is_error(answer)


def is_oauth_error(answer: Answer, status: int, error: str, code: str) -> Answer:
    """RFC 6749 section 5.2."""
    assert (answer.status, answer.json["error"], answer.code) == (status, error, code), answer.body
    assert answer.headers.get_content_type() == "application/json"
    assert set(answer.json) == {"error", "error_description", "code", "request_id"}
    return _is_error(answer)


def _is_error(answer: Answer) -> Answer:
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-ID"] == answer.json["request_id"]
    assert len(answer.headers.get_all("X-Request-ID") or ()) == 1
    return answer


def exchange(web: Web, token: str, **parameters: str) -> Answer:
    return web.form({"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN, **parameters})


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_is_a_401_and_at_the_token_endpoint_a_400(web: Web, iam: LiveIam, name: str) -> None:
    code, make = BAD_TOKENS[name]
    token = make(iam)
    for answer in (web.get("/v1/proxy", token), web.get("/v1/whoami", token), web.post("/v1/proxy", {}, token)):
        is_problem(answer, 401, code)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="ttscache", error="invalid_token"'
        assert token[:12] not in answer.body.decode()
    answer = exchange(web, token)
    is_oauth_error(answer, 400, "invalid_request", code)
    assert "WWW-Authenticate" not in answer.headers


def test_a_missing_token_is_told_before_anything_else(web: Web) -> None:
    for answer in (
        web.get("/v1/proxy?unknown=1"),
        web.get("/v1/whoami"),
        web.call("POST", "/v1/proxy", JSON, b"garbage"),
    ):
        is_problem(answer, 401, "token_missing")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="ttscache"'
    is_oauth_error(web.form({"grant_type": EXCHANGE}), 400, "invalid_request", "token_missing")


@pytest.mark.parametrize("header", ["Basic dTpw", "Bearer", "Bearer ", "Bearer a b", "Token x", "Bearer \u00e9\u00e9"])
def test_what_is_no_bearer_token(web: Web, header: str) -> None:
    request = f"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n"
    is_problem(web.raw(request.encode()), 401, "token_malformed")


def test_two_authorization_headers_are_refused(web: Web, token: str) -> None:
    header = f"Authorization: Bearer {token}\r\n"
    request = f"GET /v1/whoami HTTP/1.1\r\nHost: x\r\n{header}{header}\r\n"
    assert web.raw(request.encode()).status in {400, 401}


def test_the_mapping_refuses(web: Web, iam: LiveIam) -> None:
    nobody = iam.token(scope="openid profile")
    is_problem(web.get("/v1/proxy", nobody), 403, "mapping_refused")
    is_oauth_error(exchange(web, nobody), 400, "invalid_request", "mapping_refused")
    unnamed = iam.crafted(omit_claims=("preferred_username",))
    is_problem(web.get("/v1/proxy", unnamed), 403, "dn_refused")
    forged = iam.crafted(claims={"preferred_username": "jane/CN=root"})
    is_problem(web.get("/v1/proxy", forged), 403, "dn_refused")


@pytest.mark.parametrize(
    "wanted, status, code",
    [
        ({"profile": "forbidden"}, 403, "profile_refused"),
        ({"profile": "nothing"}, 400, "profile_unknown"),
        ({"profile": ""}, 400, "profile_unknown"),
        ({"profile": "a" * 65}, 400, "request_invalid"),
        ({"profile": 1}, 400, "request_invalid"),
        ({"profile": "\ud800"}, 400, "profile_unknown"),
        ({"lifetime": 0}, 403, "lifetime_refused"),
        ({"lifetime": -1}, 403, "lifetime_refused"),
        ({"lifetime": 86401}, 403, "lifetime_refused"),
        ({"lifetime": 10**300}, 403, "lifetime_refused"),
        ({"lifetime": 3600.0}, 400, "request_invalid"),
        ({"lifetime": True}, 400, "request_invalid"),
        ({"lifetime": "3600"}, 400, "request_invalid"),
        ({"limited": 1}, 400, "request_invalid"),
        ({"limited": "true"}, 400, "request_invalid"),
        ({"fqans": "/cms"}, 400, "request_invalid"),
        ({"fqans": ["/cms", 1]}, 400, "request_invalid"),
        ({"fqans": ["/a"] * 101}, 400, "request_invalid"),
        ({"fqans": ["/" + "a" * 255]}, 400, "request_invalid"),
        ({"fqans": ["/cms/Role=admin"]}, 403, "fqan_refused"),
        ({"csr": 5}, 400, "request_invalid"),
        ({"csr": "garbage"}, 400, "csr_invalid"),
        ({"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"}, 400, "csr_invalid"),
        ({"csr": "\ud800" * 10}, 400, "csr_invalid"),
        ({"csr": "x" * 10_000}, 400, "csr_invalid"),
        ({"unknown": 1}, 400, "request_invalid"),
        ({"Profile": "pilot"}, 400, "request_invalid"),
        ([], 400, "request_invalid"),
        ("pilot", 400, "request_invalid"),
        (None, 400, "request_invalid"),
    ],
)
def test_a_wrong_field_is_refused_by_name(web: Web, token: str, wanted: object, status: int, code: str) -> None:
    is_problem(web.post("/v1/proxy", wanted, token), status, code)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"lifetime": 1' + b"0" * 5000 + b"}",
        b'{"profile": "pilot", "profile": "short"}',
        b'{"lifetime": NaN}',
        b"{}{}",
    ],
)
def test_what_is_no_json_object(web: Web, token: str, body: bytes) -> None:
    is_problem(web.call("POST", "/v1/proxy", JSON, body, token), 400, "request_invalid")


@pytest.mark.parametrize(
    "query, status, code",
    [
        ("lifetime=0", 403, "lifetime_refused"),
        ("lifetime=-3600", 403, "lifetime_refused"),
        ("lifetime=99999999999", 403, "lifetime_refused"),
        ("lifetime=" + "9" * 4500, 403, "lifetime_refused"),
        ("lifetime=1.5", 400, "request_invalid"),
        ("lifetime=1e3", 400, "request_invalid"),
        ("lifetime=%D9%A3", 400, "request_invalid"),
        ("lifetime=3600&lifetime=3600", 400, "request_invalid"),
        ("limited=1", 400, "request_invalid"),
        ("limited=True", 400, "request_invalid"),
        ("fqan=/cms/Role=admin", 403, "fqan_refused"),
        ("fqan=/cms%20/atlas", 403, "fqan_refused"),
        ("profile=nothing", 400, "profile_unknown"),
        ("unknown=1", 400, "request_invalid"),
        ("csr=x", 400, "request_invalid"),
        ("access_token=x", 400, "request_invalid"),
        ("%00%0d%0a=x", 400, "request_invalid"),
    ],
)
def test_a_wrong_query_is_refused(web: Web, token: str, query: str, status: int, code: str) -> None:
    is_problem(web.get(f"/v1/proxy?{query}", token), status, code)


def test_queries_are_refused_where_there_are_none(web: Web, token: str) -> None:
    is_problem(web.get("/v1/whoami?x=1", token), 400, "request_invalid")
    is_problem(web.call("POST", "/v1/proxy?profile=pilot", JSON, b"{}", token), 400, "request_invalid")


def test_a_csr_must_prove_its_key_and_be_of_the_right_kind(web: Web, token: str) -> None:
    good = make_csr(generate_key(KeyKind.RSA_2048)).decode()
    weak = run(["openssl", "req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x"])
    lines = good.splitlines()
    lines[-2] = lines[-2][:-8] + ("A" * 6 + lines[-2][-2:])
    for csr, profile, code in (
        ("\n".join(lines), "pilot", "csr_invalid"),
        (weak.text[weak.text.index("-----BEGIN CERT") :], "pilot", "csr_weak_key"),
        (make_csr(generate_key(KeyKind.P_256)).decode(), "pilot", "csr_invalid"),
        (make_csr(generate_key(KeyKind.RSA_3072)).decode(), "pilot", "csr_invalid"),
        (good, "ec", "csr_invalid"),
    ):
        is_problem(web.post("/v1/proxy", {"csr": csr, "profile": profile}, token), 400, code)
        is_oauth_error(exchange(web, token, csr=csr, profile=profile), 400, "invalid_request", code)


def test_the_cas_own_key_is_not_certified(web: Web, token: str, daemon: Daemon) -> None:
    key = load_private_key((daemon.site.directory / "ca/ca.key").read_bytes())
    wanted = {"csr": make_csr(key).decode(), "profile": "ec"}
    is_problem(web.post("/v1/proxy", wanted, token), 400, "csr_invalid")


@pytest.mark.parametrize(
    "changed, error, code",
    [
        ({"grant_type": "authorization_code"}, "unsupported_grant_type", "request_invalid"),
        ({"grant_type": ""}, "unsupported_grant_type", "request_invalid"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request", "request_invalid"),
        ({"subject_token_type": ""}, "invalid_request", "request_invalid"),
        ({"requested_token_type": ACCESS_TOKEN + "x"}, "invalid_request", "request_invalid"),
        ({"actor_token": "x"}, "invalid_request", "request_invalid"),
        ({"actor_token_type": ACCESS_TOKEN}, "invalid_request", "request_invalid"),
        ({"audience": "https://storage.example"}, "invalid_target", "audience_refused"),
        ({"resource": "https://storage.example"}, "invalid_target", "audience_refused"),
        ({"scope": "storage.read:/"}, "invalid_scope", "scope_refused"),
        ({"lifetime": "-1"}, "invalid_request", "lifetime_refused"),
        ({"lifetime": "many"}, "invalid_request", "request_invalid"),
        ({"limited": "yes"}, "invalid_request", "request_invalid"),
        ({"fqan": "/cms/Role=admin"}, "invalid_request", "fqan_refused"),
        ({"profile": "forbidden"}, "invalid_request", "profile_refused"),
        ({"profile": "nothing"}, "invalid_request", "profile_unknown"),
    ],
)
def test_the_token_endpoint_refuses(web: Web, token: str, changed: dict[str, str], error: str, code: str) -> None:
    is_oauth_error(exchange(web, token, **changed), 400, error, code)


@pytest.mark.parametrize("name", ["grant_type", "subject_token", "profile", "csr", "unheard_of"])
def test_repeated_parameters_are_refused(web: Web, token: str, name: str) -> None:
    fields = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)]
    value = dict(fields).get(name, "x")
    answer = web.form([*(field for field in fields if field[0] != name), (name, value), (name, value)])
    is_oauth_error(answer, 400, "invalid_request", "request_invalid")


def test_audience_and_resource_may_be_repeated(web: Web, token: str) -> None:
    fields = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)]
    for name in ("audience", "resource"):
        answer = web.form([*fields, (name, "https://a.example"), (name, "https://b.example")])
        is_oauth_error(answer, 400, "invalid_target", "audience_refused")


@pytest.mark.parametrize(
    "content_type, body",
    [
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"\xff=\xff"),
        ("application/x-www-form-urlencoded", b"a"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(101))),
        ("multipart/form-data", b"x"),
        (";;;", b"grant_type=x"),
    ],
)
def test_what_is_no_form(web: Web, content_type: str, body: bytes) -> None:
    answer = web.call("POST", "/token", {"Content-Type": content_type}, body)
    is_oauth_error(answer, 400, "invalid_request", "request_invalid")


def test_nothing_is_there(web: Web) -> None:
    is_problem(web.get("/"), 404, "not_found")
    is_problem(web.get("/token/"), 404, "not_found")
    is_problem(web.get("/v1/proxy/x", Expect="nonsense"), 400, "request_invalid")


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("DELETE", "/v1/proxy", {"GET", "POST"}),
        ("PUT", "/v1/whoami", {"GET"}),
        ("HEAD", "/v1/proxy", {"GET", "POST"}),
        ("POST", "/trust/ca.pem", {"GET", "HEAD"}),
        ("PATCH", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(web: Web, method: str, path: str, allowed: set[str]) -> None:
    answer = web.call(method, path)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed
    if method != "HEAD":
        is_problem(answer, 405, "request_invalid")


def test_a_wrong_method_at_the_token_endpoint(web: Web) -> None:
    answer = web.get("/token")
    is_oauth_error(answer, 405, "invalid_request", "request_invalid")
    assert answer.headers["Allow"] == "POST"


def test_too_large_a_body(web: Web, token: str) -> None:
    big = b" " * (128 * 1024 + 1)
    is_problem(web.call("POST", "/v1/proxy", JSON, big, token), 413, "request_too_large")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    is_oauth_error(web.call("POST", "/token", form, big), 413, "invalid_request", "request_too_large")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 30_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 30_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(200)),
        b"GET /" + b"a" * 30_000 + b" HTTP/1.1\r\nHost: x",
    ],
    ids=["header", "token", "many", "line"],
)
def test_too_large_a_head(web: Web, head: bytes) -> None:
    is_problem(web.raw(head + b"\r\n\r\n"), 431, "request_too_large")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET http://[::/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/proxy HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/proxy HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\n\r\n",
    ],
)
def test_what_is_no_request_gets_the_same_form_of_answer(web: Web, request_bytes: bytes) -> None:
    is_problem(web.raw(request_bytes), 400, "request_invalid")


def test_bodies_that_break_off_or_are_packed(web: Web, token: str) -> None:
    head = f"POST /v1/proxy HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
    wrong_chunk = web.raw(head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
    is_problem(wrong_chunk, 400, "request_invalid")
    packed = web.call("POST", "/v1/proxy", {"Content-Encoding": "gzip"}, b"garbage", token)
    is_problem(packed, 400, "request_invalid")


def test_a_caller_that_goes_away_is_no_fault_of_ours(daemon: Daemon, token: str) -> None:
    since = daemon.server.position()
    head = f"POST /v1/proxy HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n{{"
    with daemon.web.socket() as stream:
        stream.sendall(head.encode())
    assert daemon.wait_for_event("caller_gone", since)["level"] == "info"


def test_a_body_that_does_not_come_is_not_waited_for_longer_than_the_deadline(web: Web, token: str) -> None:
    head = f"POST /v1/proxy HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n{{"
    answer = web.raw(head.encode())
    is_problem(answer, 503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1


def test_the_issuer_refuses_the_exchange(web: Web, iam: LiveIam) -> None:
    stranger = iam.crafted("joe", claims={"sub": "suspended"})
    is_problem(web.get("/v1/proxy", stranger), 403, "exchange_refused")
    is_oauth_error(exchange(web, stranger), 400, "invalid_request", "exchange_refused")


def test_the_issuer_fails(web: Web, iam: LiveIam) -> None:
    iam.fault(Fault(endpoint="token", grant="token_exchange", status=503, body="html", retry_after="1"))
    newcomer = iam.token("admin")
    answer = web.get("/v1/proxy", newcomer)
    is_problem(answer, 503, "upstream_unavailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 5
    oauth = exchange(web, newcomer)
    is_oauth_error(oauth, 503, "temporarily_unavailable", "upstream_unavailable")
    assert int(oauth.headers["Retry-After"]) >= 1
    iam.clear_faults()
    wait_for(lambda: web.get("/v1/proxy", newcomer).status == 200 or None, lambda: "IAM is back and not used")


def test_a_request_id_is_taken_over_when_it_is_one(web: Web) -> None:
    given = "0123456789abcdef-ours"
    assert web.get("/nothing", X_Request_ID=given).json["request_id"] == given
    assert web.get("/nothing", X_Request_ID="bad id!").json["request_id"] != "bad id!"
    assert web.get("/healthz", X_Request_ID=given).headers["X-Request-ID"] == given
