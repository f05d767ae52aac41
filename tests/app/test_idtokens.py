"""IDTOKENs over POST /token, and what HTCondor's own code makes of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.acceptance.condor_pool import Pool
from tests.acceptance.shims import build
from tests.tools.daemons import Daemon, LiveIam, change
from tests.tools.http import Answer
from tests.tools.minting import write_private
from ttscache.sandbox.site import Site

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
IDTOKEN = "urn:ttscache:params:oauth:token-type:condor-idtoken"
KEY = b"a signing key of the pool's"
SCOPES = ["condor:/READ", "condor:/ADVERTISE_STARTD"]


@pytest.fixture
def daemon(start: Callable[[], Daemon], site: Site) -> Daemon:
    """A daemon with a profile for each way to an IDTOKEN."""
    for name in ("pool-key", "relayed"):
        write_private(site.directory / name, KEY)
    write_private(site.directory / "relayed", relayed().encode())
    usual: dict[str, Any] = {
        "type": "condor-idtoken",
        "lifetime": "1h",
        "max_lifetime": "24h",
        "trust_domain": "pool.example",
        "key_id": "site",
        "key": {"file": "pool-key"},
        "scopes": SCOPES,
    }

    def edit(document: dict[str, Any]) -> None:
        document["profiles"] |= {
            "by-account": usual,
            "by-claim": {**usual, "user": "u-{preferred_username}"},
            "by-odd-claim": {**usual, "user": "{name}"},
            "by-no-claim": {**usual, "user": "{nothing}"},
            "relayed": {"type": "condor-idtoken", "max_lifetime": "24h", "source": {"file": "relayed"}},
            "not-allowed": usual,
        }
        for rule in document["mapping"]:
            rule["profiles"] = [
                "pilot",
                *(name for name in document["profiles"] if name not in {"pilot", "not-allowed"}),
            ]

    change(site, edit)
    return start()


def relayed(life: float = 7200, **claims: object) -> str:
    now = int(time.time())
    usual = {"iss": "pool.example", "sub": "wn@pool.example", "iat": now, "exp": now + int(life), "jti": "0" * 32}
    payload = {**usual, "scope": "condor:/READ", **claims}
    told = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(told, b"k" * 64, "HS256", headers={"kid": "site"})


def asked(daemon: Daemon, token: str, profile: str = "by-account", **fields: str) -> Answer:
    wanted = {"grant_type": GRANT, "subject_token_type": ACCESS, "requested_token_type": IDTOKEN, "profile": profile}
    return daemon.web.form({**wanted, "subject_token": token, **fields})


def claims(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    assert (answer.json["token_type"], answer.json["issued_token_type"]) == ("N_A", IDTOKEN)
    assert answer.headers["Cache-Control"] == "no-store"
    return jwt.decode(answer.json["access_token"], options={"verify_signature": False})


def test_what_it_says_and_htcondor_makes_of_it(daemon: Daemon, iam: LiveIam, site: Site, tmp_path: Path) -> None:
    answer = asked(daemon, iam.token())
    told = claims(answer)
    assert (told["sub"], told["iss"], told["scope"]) == ("cmsprod@pool.example", "pool.example", " ".join(SCOPES))
    assert answer.json["scope"] == " ".join(SCOPES)
    assert told["exp"] - told["iat"] == 3600
    assert 3590 < answer.json["expires_in"] <= 3600
    pool = Pool(build("condor_token.cpp", tmp_path), tmp_path / "pool")
    pool.store("site", KEY)
    said = pool.authenticate(answer.json["access_token"], "READ", "ADVERTISE_STARTD", "WRITE", "DAEMON")
    assert said
    assert "cmsprod@pool.example" in said.text
    assert "ADVERTISE_STARTD" in said.text
    assert "DAEMON" not in said.text.replace("ADVERTISE", "")
    pool.store("site", b"another key")
    assert not pool.authenticate(answer.json["access_token"], "READ")


def test_users(daemon: Daemon, iam: LiveIam) -> None:
    assert claims(asked(daemon, iam.token("joe")))["sub"] == "joe@pool.example"
    assert claims(asked(daemon, iam.token("joe"), "by-claim"))["sub"] == "u-joe@pool.example"
    for profile in ("by-odd-claim", "by-no-claim"):
        answer = asked(daemon, iam.token(), profile)
        assert (answer.status, answer.code) == (400, "mapping_refused")
    crafted = iam.crafted(claims={"preferred_username": "good", "wlcg.groups": ["/cms"]})
    assert claims(asked(daemon, crafted, "by-claim"))["sub"] == "u-good@pool.example"
    for name in ("a@b", "a b", "a\n", "", "x" * 300, "\u00e9"):
        crafted = iam.crafted(claims={"preferred_username": name, "wlcg.groups": ["/cms"]})
        assert asked(daemon, crafted, "by-claim").status == 400, name


def test_lifetimes_and_what_may_not_be_asked_for(daemon: Daemon, iam: LiveIam) -> None:
    token = iam.token()
    told = claims(asked(daemon, token, lifetime="600"))
    assert told["exp"] - told["iat"] == 600
    expected = {
        "lifetime_refused": [{"lifetime": "599"}, {"lifetime": "86401"}],
        "request_invalid": [
            {"fqan": "/cms"},
            {"limited": "true"},
            {"csr": "x"},
            {"profile": "pilot"},
            {"lifetime": "1h"},
        ],
        "profile_refused": [{"profile": "not-allowed"}],
        "profile_unknown": [{"profile": "nowhere"}],
    }
    for code, asks in expected.items():
        for fields in asks:
            answer = asked(daemon, token, **{"profile": "by-account", **fields})
            assert (answer.status, answer.code) == (400, code), (fields, answer.body)
    for error, asks in {
        "invalid_scope": [{"scope": "condor:/DAEMON"}, {"scope": "condor:/READ"}],
        "invalid_target": [{"audience": "https://x"}, {"resource": "https://x"}],
    }.items():
        for fields in asks:
            answer = asked(daemon, token, **fields)
            assert (answer.status, answer.json["error"]) == (400, error)
    proxy = daemon.web.form(
        {"grant_type": GRANT, "subject_token_type": ACCESS, "subject_token": token, "profile": "by-account"}
    )
    assert proxy.code == "request_invalid"
    assert daemon.web.post("/v1/proxy", {"profile": "by-account"}, token).code == "request_invalid"


def test_no_session_no_token(daemon: Daemon, iam: LiveIam) -> None:
    token = iam.token()
    claims(asked(daemon, token))
    assert iam.grants["token_exchange"] == 1
    other = iam.token("joe")
    iam.suspend("joe")
    assert asked(daemon, other).code == "exchange_refused"


def test_a_token_of_the_pool_s_is_relayed(daemon: Daemon, iam: LiveIam, site: Site) -> None:
    token, file = iam.token(), site.directory / "relayed"
    answer = asked(daemon, token, "relayed")
    assert answer.json["access_token"] == file.read_text()
    assert answer.json["scope"] == "condor:/READ"
    assert 7100 < answer.json["expires_in"] <= 7200
    write_private(file, (rotated := relayed(jti="1" * 32)).encode() + b"\n")
    assert asked(daemon, token, "relayed").json["access_token"] == rotated

    def refused(content: bytes, mode: int = 0o600) -> tuple[int, object]:
        file.unlink(missing_ok=True)
        write_private(file, content, mode=mode)
        told = asked(daemon, token, "relayed")
        assert content.strip() == b"" or content.decode(errors="replace") not in told.body.decode()
        return told.status, told.code

    unavailable = (503, "signer_unavailable")
    for content in (relayed(-10), relayed(scope=None), relayed(exp=None), "nonsense", "", "\u00e9"):
        assert refused(content.encode()) == unavailable, content
    assert refused(relayed().encode(), mode=0o644) == unavailable
    assert refused(relayed(300).encode()) == (400, "lifetime_refused")
    file.unlink()
    told = asked(daemon, token, "relayed")
    assert (told.status, told.code) == unavailable
    assert int(told.headers["Retry-After"]) > 0
    assert KEY.decode() not in daemon.server.output()
    assert rotated not in daemon.server.output()
