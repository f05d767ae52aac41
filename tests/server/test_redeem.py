"""The redemption that HTCondor's credential monitor asks for: the cached proxy in its form, and when it is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from proxy_gen.credential import Credential
from tests.server.test_errors import exchange
from tests.tools import openssl
from tests.tools.daemons import Daemon, LiveIam
from tests.tools.http import JSON, Answer, Web
from ttscache.identity.settings import CREDMON_AUDIENCE
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import AUDIENCE

REDEEM = "/v1/credentials/x509/redeem"
REVOKE, RESTORE = "/admin/v1/identities/revoke", "/admin/v1/identities/restore"


def redeem(web: Web, token: str | None, body: bytes | None = b"{}") -> Answer:
    return web.call("POST", REDEEM, {}, body, token)


def problem(answer: Answer, status: int, code: str) -> Answer:
    told = answer.json
    assert (answer.status, told["status"], told["code"]) == (status, status, code), answer.body
    assert answer.headers.get_content_type() == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert told["request_id"] == answer.headers["X-Request-ID"]
    return answer


@pytest.fixture(scope="session")
def credmon(iam: LiveIam) -> str:
    return iam.token(audience=CREDMON_AUDIENCE)


@contextmanager
def revoked(web: Web, iam: LiveIam, user: str) -> Iterator[None]:
    """Revoke an identity until the block ends."""
    whom = {"issuer": "sandbox", "subject": iam.config.user(user).sub}
    assert web.post(REVOKE, whom, iam.token("admin")).status == 200
    try:
        yield
    finally:
        assert web.post(RESTORE, whom, iam.token("admin")).status == 200


def test_the_fields_of_the_answer(web: Web, credmon: str, daemon: Daemon) -> None:
    answer = redeem(web, credmon)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.headers.get_content_type() == "application/json"
    told = answer.json
    assert set(told) == {"pem", "dn", "voms_attributes", "expires_at", "remaining_seconds", "nickname"}
    pem = told["pem"].encode()
    credential = Credential.parse(pem)
    assert credential.key is not None
    assert openssl.verify(pem, daemon.site.certificates, strict=True, crl_check=True)
    assert told["dn"] == openssl.subject(openssl.certificates(pem)[1])
    assert (told["voms_attributes"], told["nickname"]) == (["/cms/Role=production", "/cms"], "cmsprod")
    ends = credential.leaf.not_valid_after_utc
    assert datetime.strptime(told["expires_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) == ends
    left = (ends - datetime.now(UTC)).total_seconds()
    assert 0 < left <= told["remaining_seconds"] + 1 < left + 60


def test_it_is_the_cached_proxy(web: Web, credmon: str, token: str) -> None:
    first = redeem(web, credmon).json["pem"]
    for again in (redeem(web, token), redeem(web, credmon, None), redeem(web, credmon, b"")):
        assert again.json["pem"] == first
    assert web.get("/v1/proxy", token).body.decode() == first


def test_each_gets_his_own(web: Web, iam: LiveIam) -> None:
    told = redeem(web, iam.token("joe", audience=CREDMON_AUDIENCE)).json
    assert (told["nickname"], told["voms_attributes"]) == ("joe", ["/cms"])
    assert f"/CN=joe/CN=u-{iam.config.user('joe').sub}" in told["dn"]


@pytest.mark.parametrize("user", ["jane", "admin"])
def test_the_monitor_s_audience_is_good_here_alone(web: Web, iam: LiveIam, user: str) -> None:
    token = iam.token(user, audience=CREDMON_AUDIENCE)
    for _ in range(2):  # before it was redeemed, and when its verification is remembered
        for method, path in (("GET", "/v1/proxy"), ("POST", "/v1/proxy"), ("GET", "/v1/whoami")):
            problem(web.call(method, path, token=token), 401, "audience_mismatch")
        problem(web.get("/admin/v1/sessions", token), 401, "audience_mismatch")
        assert exchange(web, token).code == "audience_mismatch"
        assert redeem(web, token).status == 200
    both = iam.token(user, audience=f"{AUDIENCE} {CREDMON_AUDIENCE}")
    assert web.get("/v1/whoami", both).status == 200
    assert redeem(web, both).status == 200


@pytest.mark.parametrize(
    "audience",
    [
        "https://elsewhere.example",
        "af-credmon/krb5",
        "af-credmon/x509/",
        "af-credmon",
        "AF-CREDMON/X509",
        "https://wlcg.cern.ch/jwt/v1/any",
    ],
)
def test_other_audiences(web: Web, iam: LiveIam, audience: str) -> None:
    problem(redeem(web, iam.token(audience=audience)), 401, "audience_mismatch")


def test_tokens_that_are_not_accepted(web: Web, iam: LiveIam) -> None:
    for token, code in (
        (None, "token_missing"),
        ("garbage", "token_malformed"),
        (iam.crafted(audience=CREDMON_AUDIENCE, claims={"exp": 1_000_000_000}), "token_expired"),
        (iam.crafted(audience=CREDMON_AUDIENCE, claims={"iss": "https://evil.example/"}), "issuer_unknown"),
        (iam.crafted(audience=CREDMON_AUDIENCE, signed_by="unknown"), "token_signature"),
        (iam.crafted(audience=CREDMON_AUDIENCE, omit_claims=("aud",)), "audience_mismatch"),
    ):
        answer = problem(redeem(web, token), 401, code)
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="ttscache"')


@pytest.mark.parametrize("body", [b"garbage", b"[]", b"1", b"null", b'{"profile": "pilot"}', b'{"nickname": null}'])
def test_there_is_nothing_to_be_asked_for(web: Web, credmon: str, body: bytes) -> None:
    problem(redeem(web, credmon, body), 400, "request_invalid")


def test_other_ways_of_asking(web: Web, credmon: str) -> None:
    problem(web.call("POST", f"{REDEEM}?profile=pilot", {}, b"{}", credmon), 400, "request_invalid")
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = web.call(method, REDEEM, JSON, token=credmon)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert redeem(web, credmon, b" " * (128 * 1024 + 1)).status == 413


def test_gone_is_only_who_is_revoked(web: Web, iam: LiveIam) -> None:
    tokens = [iam.token("joe", audience=each) for each in (CREDMON_AUDIENCE, AUDIENCE)]
    before = [redeem(web, each).json["pem"] for each in tokens]
    with revoked(web, iam, "joe"):
        for token in (*tokens, iam.token("joe", audience=CREDMON_AUDIENCE)):
            answer = problem(redeem(web, token), 404, "subject_revoked")
            assert "revoked" in answer.json["detail"]
        problem(web.get("/v1/proxy", tokens[1]), 403, "subject_revoked")
        assert redeem(web, iam.token(audience=CREDMON_AUDIENCE)).status == 200, "nobody else is"
    assert all(redeem(web, token).json["pem"] not in before for token in tokens), "those are revoked with him"


def test_a_token_from_before_its_session_was_revoked_is_gone(web: Web, iam: LiveIam) -> None:
    token, admin = iam.token("joe", audience=CREDMON_AUDIENCE), iam.token("admin")
    assert redeem(web, token).status == 200
    subject = iam.config.user("joe").sub
    sessions = web.get("/admin/v1/sessions?limit=1000", admin).json["entries"]
    (identifier,) = (each["id"] for each in sessions if each["subject"] == subject and each["state"] != "ended")
    assert web.post(f"/admin/v1/sessions/{identifier}/revoke", {}, admin).status == 200
    assert "obtain a new token" in problem(redeem(web, token), 404, "subject_revoked").json["detail"]


def test_refused_is_not_gone(web: Web, iam: LiveIam) -> None:
    stranger = iam.token(scope="openid profile", audience=CREDMON_AUDIENCE)
    problem(redeem(web, stranger), 403, "mapping_refused")
    iam.fault(Fault(endpoint="token", grant="token_exchange", claims={"sub": "mallory"}))
    # nobody has a session under this subject
    unknown = iam.crafted(audience=CREDMON_AUDIENCE, claims={"sub": "nobody-yet"})
    problem(redeem(web, unknown), 403, "exchange_refused")


def test_while_iam_does_not_answer(web: Web, iam: LiveIam, credmon: str, daemon: Daemon) -> None:
    first = redeem(web, credmon).json["pem"]
    newcomer = iam.crafted(audience=CREDMON_AUDIENCE, claims={"sub": "newcomer", "preferred_username": "newcomer"})
    iam.fault(Fault(endpoint="token", status=503, body="html"))
    assert redeem(web, credmon).json["pem"] == first
    answer = problem(redeem(web, newcomer), 503, "upstream_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    iam.clear_faults()
    daemon.wait_for_status("ok")
