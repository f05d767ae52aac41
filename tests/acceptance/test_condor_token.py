"""Our IDTOKENs before HTCondor's own code, and HTCondor's before ours."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance.condor_pool import TRUST_DOMAIN, Pool
from tests.acceptance.shims import build
from ttscache.authority.condor import (
    AUTHORIZATION_LEVELS,
    CondorTokenError,
    SigningKey,
    issue_idtoken,
    require_key_id,
    require_scopes,
    require_trust_domain,
)
from ttscache.authority.condor_relay import read_idtoken

pytestmark = pytest.mark.acceptance

JANE = "jane@pool.example"
CONTENT = b"a signing key of the pool's"
GLIDEIN = ["condor:/READ", "condor:/ADVERTISE_STARTD", "condor:/ADVERTISE_MASTER"]

CONTENTS = {
    "random": bytes(range(64)),
    "newline": b"a password\n",
    "nul": b"ab\0cd\0\0",
    "padded": b"a password".ljust(256, b"\0"),
    "nul-when-unscrambled": b"ab\xbe\xefcd",
    "odd": b"seven..",
    "one-byte": b"x",
    "10-KiB": bytes(range(256)) * 40,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("condor_token.cpp", tmp_path_factory.mktemp("condor_token"))


@pytest.fixture(scope="module")
def pool(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    made = Pool(program, tmp_path_factory.mktemp("pool"))
    made.store("site", CONTENT)
    return made


def our_key(key_id: str = "site", content: bytes = CONTENT) -> SigningKey:
    return SigningKey.from_file_content(key_id, content, allow_pool_key=True)


def ours(key: SigningKey | None = None, **changes: Any) -> str:  # noqa: ANN401 # any argument of issue_idtoken
    wanted: dict[str, Any] = {
        "trust_domain": TRUST_DOMAIN,
        "user": "jane",
        "scopes": GLIDEIN,
        "now": time.time(),
        "lifetime": 600,
    }
    return issue_idtoken(key or our_key(), **(wanted | changes))[0]


def signed(key: SigningKey | None = None, **claims: object) -> str:
    """Sign what we would not issue: claims that are None are left out."""
    now = int(time.time())
    usual = {"iss": TRUST_DOMAIN, "sub": JANE, "iat": now, "exp": now + 600, "jti": "0" * 32, "scope": "condor:/READ"}
    payload = {name: value for name, value in (usual | claims).items() if value is not None}
    key = key or our_key()
    return jwt.encode(payload, key.secret, algorithm="HS256", headers={"kid": key.key_id})


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("key_id", ["POOL", "site"])
def test_a_key_file_is_one_key_to_both(program: Path, tmp_path: Path, key_id: str, name: str) -> None:
    pool, key = Pool(program, tmp_path), our_key(key_id, CONTENTS[name])
    pool.store(key_id, CONTENTS[name])
    theirs = pool.generate(key_id, JANE, "READ")
    assert theirs, theirs
    assert jwt.decode(theirs.text, key.secret, algorithms=["HS256"])["sub"] == JANE
    assert pool.authenticate(ours(key)).text == f"{JANE}\n"


def test_the_whole_file_is_the_key_and_pool_takes_it_twice(pool: Pool) -> None:
    content = b"\xde\xad\xbe\xef\0\n"
    for key_id, material in {"site-x": b"\0\0\0\0\xde\xa7", "POOL": b"\0\0\0\0\xde\xa7" * 2}.items():
        pool.store(key_id, content)
        assert pool.material(key_id) == material


def test_nobody_signs_with_an_empty_key(pool: Pool) -> None:
    pool.store("empty", b"")
    assert not pool.generate("empty", JANE, "READ")
    with pytest.raises(CondorTokenError, match="is empty"):
        our_key("empty", b"")


def test_header_and_claims_are_those_that_htcondor_writes(pool: Pool) -> None:
    theirs = pool.generate("site", JANE, "READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER").text
    assert jwt.get_unverified_header(ours()) == jwt.get_unverified_header(theirs)
    secret = our_key().secret
    one, other = (jwt.decode(token, secret, algorithms=["HS256"]) for token in (ours(), theirs))
    assert {name: type(value) for name, value in one.items()} == {name: type(value) for name, value in other.items()}
    for name in ("iss", "sub", "scope"):
        assert one[name] == other[name]
    for claims in (one, other):
        assert re.fullmatch(r"[0-9a-f]{32}", claims["jti"])
        assert claims["exp"] - claims["iat"] == 600


def test_levels_are_htcondors_but_for_those_that_grant_nothing(pool: Pool) -> None:
    assert set(pool.levels()) - AUTHORIZATION_LEVELS == {"ALLOW", "SOAP", "DEFAULT", "CLIENT"}
    assert set(pool.levels()) > AUTHORIZATION_LEVELS


@pytest.mark.parametrize("level", sorted(AUTHORIZATION_LEVELS))
def test_a_scope_gives_its_level_and_what_that_includes(pool: Pool, level: str) -> None:
    verdict = pool.authenticate(ours(scopes=[f"condor:/{level}"]), *AUTHORIZATION_LEVELS)
    included = {"READ", "WRITE"} if level in {"WRITE", "DAEMON", "ADMINISTRATOR"} else {"READ"}
    assert set(verdict.text.splitlines()[1:]) == {level} | included, verdict


@pytest.mark.parametrize(
    "scope",
    [None, "", " , ", "condor:/", "condor:READ", "Condor:/READ", "storage.read:/", "condor:/ALL_PERMISSIONS"],
    ids=["none", "empty", "blank", "no-level", "no-slash", "capital", "storage", "all"],
)
def test_scopes_that_narrow_nothing_are_neither_issued_nor_relayed(pool: Pool, scope: str | None) -> None:
    token = signed(scope=scope)
    assert pool.authenticate(token, "ADMINISTRATOR").text == f"{JANE}\nADMINISTRATOR\n"
    with pytest.raises(CondorTokenError) as relayed:
        read_idtoken(token, time.time())
    assert relayed.value.code == "token_unrestricted"
    with pytest.raises(CondorTokenError) as issued:
        require_scopes([scope] if scope is not None else [])
    assert issued.value.code == "scope_invalid"


_PIECES = ["condor:/", "READ", "ALL_PERMISSIONS", "ALL", "_", " ", ",", ";", "\t", "\n", "\v", "\xa0", "/", '"', "x:/y"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=6).map("".join), st.booleans())
def test_what_is_relayed_is_narrowed(pool: Pool, text: str, first: bool) -> None:  # noqa: FBT001 # hypothesis' argument
    token = signed(scope=f"condor:/READ{text}" if first else f"{text} condor:/READ")
    try:
        read_idtoken(token, time.time())
    except CondorTokenError:
        return
    verdict = pool.authenticate(token, "ADMINISTRATOR")
    assert verdict, verdict
    assert "ADMINISTRATOR" not in verdict.text.splitlines()


@pytest.mark.parametrize("user,subject", [("jane", JANE), ("t2_it-pilot.1@cern.ch", "t2_it-pilot.1@cern.ch")])
def test_authenticates_under_the_name_that_we_give(pool: Pool, user: str, subject: str) -> None:
    assert pool.authenticate(ours(user=user)).text == f"{subject}\n"


@pytest.mark.parametrize("theirs", ["other.example", "POOL.EXAMPLE", "pool.example,other.example", "pool.example o"])
def test_a_token_is_presented_in_its_own_trust_domain_only(program: Path, tmp_path: Path, theirs: str) -> None:
    pool = Pool(program, tmp_path, theirs)
    pool.store("site", CONTENT)
    assert not pool.authenticate(ours())


@pytest.mark.parametrize("trust_domain", ["pool.example", "cm.pool.example:9618", "POOL", "a_b-c"])
def test_trust_domains_that_htcondor_issues_in(program: Path, tmp_path: Path, trust_domain: str) -> None:
    pool = Pool(program, tmp_path, trust_domain)
    pool.store("site", CONTENT)
    assert pool.generate("site", JANE, "READ")
    assert pool.authenticate(ours(trust_domain=trust_domain)).text == f"jane@{trust_domain.lower()}\n"


def test_htcondor_writes_domains_in_lower_case(pool: Pool) -> None:
    assert pool.authenticate(signed(sub="Jane@Family")).text == "Jane@family\n"


@pytest.mark.parametrize("trust_domain", ["a,b", "a b", "a\tb"], ids=["comma", "space", "tab"])
def test_trust_domains_that_htcondor_issues_nothing_in(program: Path, tmp_path: Path, trust_domain: str) -> None:
    pool = Pool(program, tmp_path, trust_domain)
    pool.store("site", CONTENT)
    assert not pool.generate("site", JANE, "READ")
    with pytest.raises(CondorTokenError, match="trust domain"):
        require_trust_domain(trust_domain)


@pytest.mark.parametrize("key_id", ["S", "site-t3", "site_t3.key", "pool", "1" * 128])
def test_key_ids_that_htcondor_finds(program: Path, tmp_path: Path, key_id: str) -> None:
    pool = Pool(program, tmp_path)
    pool.store(key_id, CONTENT)
    assert pool.authenticate(ours(our_key(key_id))).text == f"{JANE}\n"


_LOST = [".site", "#site", "site~", "a,b", "a b", "a/b"]
_LOST += [f"site.{end}" for end in ("pl", "py", "sh", "rpmsave", "rpmnew", "dpkg-old", "dpkg-dist", "cfsaved")]


@pytest.mark.parametrize("key_id", _LOST)
def test_key_ids_that_htcondor_does_not_offer(program: Path, tmp_path: Path, key_id: str) -> None:
    pool = Pool(program, tmp_path)
    pool.store("other", CONTENT)
    pool.store(key_id, CONTENT)
    assert not pool.authenticate(signed(SigningKey(key_id, our_key().secret)))
    with pytest.raises(CondorTokenError) as refused:
        require_key_id(key_id, allow_pool_key=True)
    assert refused.value.code == "key_id_invalid"


def _refused() -> dict[str, str]:
    past = int(time.time()) - 60
    header, payload, signature = ours().split(".")
    return {
        "expired": signed(exp=past),
        "another-key": ours(our_key("site", b"another key")),
        "tampered": f"{header}.{signed(scope='condor:/ADMINISTRATOR').split('.')[1]}.{signature}",
        "unsigned": f"{header}.{payload}.",
        "no-jti": signed(jti=None),
        "no-subject": signed(sub=None),
        "no-issuer": signed(iss=None),
        "scope-list": signed(scope=["condor:/READ"]),
    }


@pytest.mark.parametrize("name", _refused())
def test_htcondor_refuses_the_bad(pool: Pool, name: str) -> None:
    assert not pool.authenticate(_refused()[name])


@pytest.mark.parametrize("name", sorted(_refused().keys() - {"another-key", "tampered"}))
def test_what_htcondor_refuses_for_its_form_is_not_relayed(name: str) -> None:
    with pytest.raises(CondorTokenError):
        read_idtoken(_refused()[name], time.time())


def test_reads_a_token_that_the_pool_issued(pool: Pool) -> None:
    before = int(time.time())
    text = pool.generate("site", "wn@pool.example", "READ", "ADVERTISE_STARTD", lifetime=3600).text
    read = read_idtoken(f"# for the workers\n\n{text}\n", before)
    assert (read.token, read.key_id, read.issuer, read.subject) == (text, "site", TRUST_DOMAIN, "wn@pool.example")
    assert read.scopes == ("condor:/READ", "condor:/ADVERTISE_STARTD")
    assert before + 3600 <= read.expires_at <= time.time() + 3600


@pytest.mark.parametrize("levels,lifetime", [((), 600), (("READ",), -1)], ids=["everything", "for-ever"])
def test_a_token_without_bounds_is_not_relayed(pool: Pool, levels: tuple[str, ...], lifetime: int) -> None:
    text = pool.generate("site", JANE, *levels, lifetime=lifetime).text
    with pytest.raises(CondorTokenError) as refused:
        read_idtoken(text, time.time())
    assert refused.value.code == "token_unrestricted"


def test_random_keys_are_the_same_to_both(pool: Pool) -> None:
    content = os.urandom(64)
    pool.store("POOL", content)
    assert pool.authenticate(ours(our_key("POOL", content)), "ADMINISTRATOR").text == f"{JANE}\n"
