"""IDTOKENs: one of the pool's is handed on within the limits that one signed here would have."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from ttscache.authority.condor import SigningKey, issue_idtoken
from ttscache.broker.idtokens import IdTokens, TokenOrder
from ttscache.config.settings import IdTokenProfile
from ttscache.durable import write_atomically
from ttscache.errors import LifetimeRefusedError, MappingRefusedError, SignerUnavailableError
from ttscache.mapping.template import Template
from ttscache.model import Decision, Identity

NOW = time.time()
KEY = SigningKey.from_file_content("site", b"k" * 64)
DAY = 86400
IDENTITY = Identity(
    issuer="test", subject="jane", client_id=None, groups=(), scopes=frozenset(), entitlements=(), claims={},
    issued_at=NOW, expires_at=NOW + 3600, digest="d",
)  # fmt: skip
DECISION = Decision(
    rule="users", dn="/CN=jane", account="jane", fqans=(), scopes=(), profiles=("condor",), shared=False, trace=()
)


def order(source: Path | None, limits: dict[str, float]) -> TokenOrder:
    profile = IdTokenProfile(
        name="condor", lifetime=DAY, min_lifetime=600, max_lifetime=DAY, outlive_token=False, trust_domain="",
        key=None, user=Template.parse("{account}"), scopes=("condor:/READ", "condor:/ADVERTISE_STARTD"), source=source,
    )  # fmt: skip
    return TokenOrder(IDENTITY, DECISION, profile, DAY, limits)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "token"


def issued_by_the_pool(source: Path, scope: str = "condor:/READ", lifetime: int = 30 * DAY) -> str:
    token, _ = issue_idtoken(KEY, trust_domain="pool", user="jane", scopes=(scope,), now=NOW, lifetime=lifetime)
    write_atomically(source, token.encode())
    return token


async def test_it_is_handed_on_as_it_is(source: Path) -> None:
    token = issued_by_the_pool(source)
    issued = await IdTokens(time.time).issue(order(source, {"session": NOW + DAY}))
    assert (issued.token, issued.subject, issued.scopes) == (token, "jane@pool", ("condor:/READ",))
    assert issued.not_after == int(NOW) + 30 * DAY


async def test_not_past_the_token_that_was_presented(source: Path) -> None:
    issued_by_the_pool(source)
    with pytest.raises(LifetimeRefusedError, match="lives longer than the token"):
        await IdTokens(time.time).issue(order(source, {"token": NOW + 3600}))
    issued_by_the_pool(source, lifetime=1800)
    assert (await IdTokens(time.time).issue(order(source, {"token": NOW + 3600}))).shortened_by == ("source",)


async def test_not_with_more_than_the_profile_says(source: Path) -> None:
    issued_by_the_pool(source, scope="condor:/ADMINISTRATOR")
    with pytest.raises(SignerUnavailableError, match="may do more"):
        await IdTokens(time.time).issue(order(source, {}))


async def test_no_claim_chooses_the_domain() -> None:
    signed = order(None, {})
    profile = replace(signed.profile, trust_domain="pool", key=KEY, user=Template.parse("{name}"))
    plain = replace(signed, profile=profile, identity=replace(IDENTITY, claims={"name": "jane"}))
    assert (await IdTokens(time.time).issue(plain)).subject == "jane@pool"
    elsewhere = replace(plain, identity=replace(IDENTITY, claims={"name": "jane@elsewhere"}))
    with pytest.raises(MappingRefusedError, match="has an '@' in it"):
        await IdTokens(time.time).issue(elsewhere)
