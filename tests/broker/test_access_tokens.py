"""Access tokens for services: exchanged down, inspected, cached, renewed behind; and never more than is theirs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.broker.conftest import StartWorld
from tests.broker.test_revocations import revocation
from tests.broker.world import (
    DAY,
    GENEROUS,
    HOUR,
    ISSUER,
    POLICY,
    START,
    TOP,
    Replica,
    Setup,
    World,
    rule,
    together,
    until,
)
from tests.net.loopback import Loopback, loopback
from tests.upstream.desk import Witness
from ttscache.broker.reception import Asker
from ttscache.broker.revocations import Revocation
from ttscache.config.settings import AccessTokenProfile, Rate, StandingSession
from ttscache.errors import (
    AudienceRefusedError,
    ExchangeRefusedError,
    LifetimeRefusedError,
    OverloadedError,
    ProfileRefusedError,
    RateLimitedError,
    RequestInvalidError,
    ScopeRefusedError,
    SubjectRevokedError,
    TtsError,
    UpstreamUnavailableError,
)
from ttscache.mapping.rules import When
from ttscache.mapping.template import Template
from ttscache.model import CredentialRequest, IssuedToken
from ttscache.net.deadline import Deadline
from ttscache.sandbox.iam import Fault
from ttscache.upstream.token_endpoint import TokenEndpoint

XCACHE, STORAGE = "https://xcache.example", "https://storage.example"
READ, CREATE = "storage.read:/cms", "storage.create:/cms"
WITH_STORAGE = f"openid profile offline_access wlcg.groups {READ} {CREATE}"
LIFETIME = 4 * HOUR
PAST_SOFT, BEFORE_HARD = 0.56 * LIFETIME, LIFETIME - 61
NOT_AT_ALL = 20.0


def storage(name: str = "storage", **changes: Any) -> AccessTokenProfile:  # noqa: ANN401 - any field
    made = AccessTokenProfile(
        name=name, lifetime=int(LIFETIME), min_lifetime=60, max_lifetime=int(DAY),
        outlive_token=False, audiences=(XCACHE, STORAGE),
    )  # fmt: skip
    return replace(made, **changes)


def setup(**changes: Any) -> Setup:  # noqa: ANN401 - Setup's own
    """Return what gives tokens with the rule's scopes; with ``scopes_of_the_token`` the presented one's bound them."""
    ours = rule(scopes=() if changes.pop("scopes_of_the_token", False) else (CREATE, READ), profiles=("storage",))
    settings: dict[str, Any] = {"rules": (ours,), "profiles": (storage(),), "policy": replace(POLICY, confirm=DAY)}
    settings["policy"] = replace(settings["policy"], grace=DAY)
    return Setup(**settings | changes)


async def issue(replica: Replica, token: str | None = None, **request: Any) -> IssuedToken:  # noqa: ANN401
    token = token or replica.world.token()
    asker = Asker(await replica.identity(token), token, "192.0.2.1")
    return await issue_to(replica, asker, **request)


async def issue_to(replica: Replica, asker: Asker, seconds: float = 10, **request: Any) -> IssuedToken:  # noqa: ANN401
    return await replica.access_tokens.issue(asker, CredentialRequest(**request), Deadline.after(seconds))


async def open_replica(world: World, **changes: Any) -> Replica:  # noqa: ANN401 - Setup's own
    """Return a replica that has jane's session: what is asked of IAM from now on is asked for access tokens."""
    replica = world.replica(setup(**changes))
    await replica.session()
    world.iam.counters.grants.clear()
    return replica


def claims(issued: IssuedToken) -> dict[str, Any]:
    return dict(jwt.decode(issued.token, options={"verify_signature": False}))


def written(directory: Path) -> bytes:
    """Return all that the store has on disk."""
    return b"".join(file.read_bytes() for file in directory.iterdir())


def withdraw(world: World, token: str) -> None:
    """Have IAM refuse one token, and no other of its user's."""
    world.iam.state.access.remove(token)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Loopback]:
    """A token endpoint that says whatever a test wants it to say."""
    async with loopback() as server:
        yield server


# --- what is given


async def test_exchanged_down(world: World) -> None:
    replica = world.replica(setup())
    issued = await issue(replica)
    told = claims(issued)
    assert (told["aud"], told["scope"]) == (XCACHE, f"{CREATE} {READ}")
    assert (told["sub"], issued.subject) == (world.iam.config.user("jane").sub,) * 2
    assert (issued.scopes, issued.profile) == ((CREATE, READ), "storage")
    assert (issued.not_after, issued.shortened_by) == (START + LIFETIME, ())
    assert world.asked == {"token_exchange": 2}, "one of them opened the session"
    # it is good for the service, not here
    with pytest.raises(TtsError, match="another audience"):
        await replica.identity(issued.token)


async def test_what_is_asked_for(world: World) -> None:
    replica = world.replica(setup())
    issued = await issue(replica, audiences=(STORAGE,), scopes=(READ + "/jane",), lifetime=600, profile="storage")
    assert (claims(issued)["aud"], claims(issued)["scope"]) == (STORAGE, READ + "/jane")
    assert (issued.scopes, issued.not_after) == ((READ + "/jane",), START + 600)
    both = await issue(replica, audiences=(STORAGE, XCACHE))
    assert set(claims(both)["aud"]) == {STORAGE, XCACHE}


async def test_its_end_is_the_earliest_of_all(start_world: StartWorld) -> None:
    world = await start_world(access_lifetime=1800)
    replica = await open_replica(world)
    issued = await issue(replica)
    assert (issued.not_after, issued.shortened_by) == (START + 1800, ("issuer",))
    world.iam.faults.add(Fault(answer={"expires_in": 300}, times=1))
    assert (await issue(replica, scopes=(READ,))).not_after == START + 300
    world.iam.faults.add(Fault(answer={"expires_in": 59}))
    with pytest.raises(LifetimeRefusedError, match=r"only 59 seconds are left \(issuer\)"):
        await issue(replica, scopes=(CREATE,))


@pytest.mark.parametrize("lifetime", [0, -1, 59, int(DAY) + 1, 10**12])
async def test_lifetimes_outside_the_profile(world: World, lifetime: int) -> None:
    with pytest.raises(LifetimeRefusedError):
        await issue(world.replica(setup()), lifetime=lifetime)
    assert world.asked == {}


@pytest.mark.parametrize(
    "request_, kind",
    [
        ({"audiences": ("https://elsewhere.example",)}, AudienceRefusedError),
        ({"audiences": (XCACHE, "https://elsewhere.example")}, AudienceRefusedError),
        ({"audiences": ("https://ttscache.test",)}, AudienceRefusedError),
        ({"scopes": ("storage.read:/",)}, ScopeRefusedError),
        ({"scopes": (READ, "offline_access")}, ScopeRefusedError),
        ({"scopes": ("storage.modify:/cms",)}, ScopeRefusedError),
        ({"profile": "pilot"}, RequestInvalidError),
    ],
)
async def test_what_may_not_be_had_is_not_asked_of_iam(
    world: World, request_: dict[str, Any], kind: type[TtsError]
) -> None:
    profiles = (*Setup().profiles, storage())
    replica = world.replica(setup(profiles=profiles, rules=(rule(scopes=(READ,), profiles=("pilot", "storage")),)))
    with pytest.raises(kind):
        await issue(replica, **request_)
    assert world.asked == {}


async def test_profiles_and_issuers_that_give_none(world: World) -> None:
    with pytest.raises(ProfileRefusedError, match="no profile of the type"):
        await issue(world.replica())
    with pytest.raises(ProfileRefusedError, match="it has no `exchange`"):
        await issue(world.replica(setup(exchanging=False)))
    assert world.asked == {}


# --- the cache


async def test_cached_by_everything_that_changes_the_answer(world: World) -> None:
    replica = await open_replica(world, profiles=(storage(), storage("other")))
    asks: list[dict[str, Any]] = [
        {},
        {"audiences": (STORAGE,)},
        {"audiences": (STORAGE, XCACHE)},
        {"scopes": (READ,)},
        {"scopes": (READ + "/x",)},
        {"lifetime": 3600},
    ]
    first = [await issue(replica, **ask) for ask in asks]
    assert len({each.token for each in first}) == len(asks)
    assert [await issue(replica, **ask) for ask in asks] == first
    same: list[dict[str, Any]] = [
        {"audiences": (XCACHE,), "scopes": (CREATE, READ), "lifetime": int(LIFETIME), "profile": "storage"},
        {"audiences": (XCACHE, STORAGE, XCACHE), "scopes": (READ, CREATE, READ)},
    ]
    assert [await issue(replica, **ask) for ask in same] == [first[0], first[2]]
    assert world.asked == {"token_exchange": len(asks)}
    # another process finds them in the store
    other = world.replica(setup(), store=world.store())
    assert [await issue(other, **ask) for ask in asks] == first
    assert world.asked == {"token_exchange": len(asks)}


@pytest.mark.parametrize(
    "changed",
    [
        {"rules": (rule("renamed", scopes=(READ, CREATE), profiles=("storage",)),)},
        {"rules": (rule(account=Template.parse("other"), scopes=(READ, CREATE), profiles=("storage",)),)},
        {"profiles": (storage(min_lifetime=61),)},
        {"profiles": (storage(audiences=(XCACHE, "https://more.example")),)},
    ],
)
async def test_another_configuration_is_another_answer(world: World, changed: dict[str, Any]) -> None:
    first = await issue(await open_replica(world))
    assert (await issue(world.replica(setup(**changed)))).token != first.token


async def test_nobody_gets_another_s(world: World) -> None:
    replica = world.replica(setup())
    jane, joe = await issue(replica), await issue(replica, world.token("joe"))
    assert [claims(each)["sub"] for each in (jane, joe)] == [world.iam.config.user(n).sub for n in ("jane", "joe")]


async def test_fewer_scopes_never_get_what_more_were_given(world: World) -> None:
    replica = world.replica(setup(scopes_of_the_token=True))
    whole, narrow = world.token(scope=WITH_STORAGE), world.token(scope=f"openid wlcg.groups {READ}/jane")
    first = await issue(replica, whole)
    assert first.scopes == (CREATE, READ, "wlcg.groups")
    await issue(replica, whole, scopes=(READ,))
    for beyond in (READ, CREATE):
        with pytest.raises(ScopeRefusedError, match="the presented token has other scopes"):
            await issue(replica, narrow, scopes=(beyond,))
    second = await issue(replica, narrow)
    assert second.scopes == (READ + "/jane", "wlcg.groups")
    assert (await issue(replica, whole), await issue(replica, narrow)) == (first, second)
    # also where IAM would exchange into more than the presented token had: the same is asked for by both
    assert await issue(replica, whole, scopes=(READ + "/jane", "wlcg.groups")) == second


async def test_fewer_groups_never_get_what_more_were_given(world: World) -> None:
    production = rule("p", when=When(groups=("/cms/production",)), scopes=(READ, CREATE), profiles=("storage",))
    replica = world.replica(setup(rules=(production, rule(when=When(), scopes=(READ,), profiles=("storage",)))))
    whole, narrow = world.token(), world.token(scope="openid wlcg")
    first, second = await issue(replica, whole), await issue(replica, narrow)
    assert (first.scopes, second.scopes) == ((CREATE, READ), (READ,))
    assert (await issue(replica, whole, scopes=(READ,))).token != second.token
    with pytest.raises(ScopeRefusedError):
        await issue(replica, narrow, scopes=(CREATE,))


async def test_no_token_is_written_in_the_clear(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    witness = Witness(caplog)
    presented = world.token()
    issued = await issue(world.replica(setup()), presented)
    kept = written(tmp_path)
    assert b"access-token/" in kept
    for token in (issued.token, presented):
        for part in (token, *token.split(".")[1:]):
            assert part.encode() not in kept
        witness.saw_none_of((token, token.rpartition(".")[2]))
    assert issued.token not in repr(issued)


# --- what IAM answers


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"claims": {"scope": f"{READ} {CREATE} storage.modify:/"}}, "more scopes"),
        ({"claims": {"scope": "storage.read:/"}}, "more scopes"),
        ({"claims": {"scope": READ + "x"}}, "more scopes"),
        ({"claims": {"scope": READ + "/../x"}}, "more scopes"),
        ({"claims": {"scope": f"{READ} offline_access"}}, "more scopes"),
        ({"claims": {"scope": f"{READ} openid"}}, "more scopes"),
        ({"omit_claims": ("scope",), "answer": {"scope": f"{READ} offline_access"}}, "more scopes"),
        ({"answer": {"scope": f"{READ} storage.modify:/"}}, "more scopes"),
        ({"claims": {"aud": "https://elsewhere.example"}}, "another audience"),
        ({"claims": {"aud": [XCACHE, "https://elsewhere.example"]}}, "another audience"),
        ({"claims": {"aud": STORAGE}}, "another audience"),
        ({"claims": {"aud": "https://wlcg.cern.ch/jwt/v1/any"}}, "another audience"),
        ({"claims": {"aud": []}}, "another audience"),
        ({"omit_claims": ("aud",)}, "another audience"),
        ({"claims": {"sub": "mallory"}}, "another subject"),
        ({"omit_claims": ("sub",)}, "token_malformed"),
        ({"claims": {"iss": "https://evil.example/"}}, "issuer_unknown"),
        ({"opaque": True}, "token_malformed"),
        ({"omit_claims": ("exp",)}, "token_malformed"),
    ],
    ids=str,
)
async def test_what_is_not_as_asked_is_handed_to_nobody(world: World, fault: dict[str, Any], words: str) -> None:
    replica = await open_replica(world)
    world.iam.faults.add(Fault(**fault))
    for _ in range(2):
        with pytest.raises(ExchangeRefusedError, match=words):
            await issue(replica)
    world.iam.faults.clear()
    assert claims(await issue(replica))["aud"] == XCACHE
    assert (await replica.session()).opened_at == START, "it is the same session"


@pytest.mark.parametrize(
    "fault", [{"signed_by": "unknown"}, {"claims": {"exp": int(START) - 60}}, {"claims": {"nbf": 2**39}}], ids=str
)
async def test_what_speaks_of_a_clock_or_a_new_key_is_for_another_time(world: World, fault: dict[str, Any]) -> None:
    replica = await open_replica(world)
    world.iam.faults.add(Fault(**fault))
    with pytest.raises(UpstreamUnavailableError):
        await issue(replica)


async def test_a_refresh_token_that_nobody_asked_for_goes_nowhere(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness(caplog)
    replica = await open_replica(world)
    world.iam.faults.add(Fault(answer={"refresh_token": "hunter2-hunter2"}))
    issued = await issue(replica)
    assert "hunter2" not in f"{issued}{claims(issued)}"
    assert b"hunter2" not in written(tmp_path)
    witness.saw_none_of(("hunter2",))
    assert (await replica.session()).refresh_token not in {None, "hunter2-hunter2"}


async def test_scopes_that_iam_drops_without_a_word(world: World) -> None:
    replica = await open_replica(world)
    world.iam.state.deny_scopes("jane", {CREATE})
    issued = await issue(replica)
    assert (issued.scopes, claims(issued)["scope"]) == ((READ,), READ)
    assert await issue(replica) == issued
    world.iam.state.deny_scopes("jane", {CREATE, READ})
    with pytest.raises(ScopeRefusedError, match="none of the scopes"):
        await issue(replica, audiences=(STORAGE,))


@pytest.mark.parametrize("scope", ["", [], " "])
async def test_a_token_without_scopes_is_none_whatever_the_answer_says(world: World, scope: object) -> None:
    replica = await open_replica(world)
    world.iam.faults.add(Fault(claims={"scope": scope}, answer={"scope": READ}))
    with pytest.raises(ScopeRefusedError, match="none of the scopes"):
        await issue(replica)


async def test_scopes_that_are_told_outside_of_the_token(world: World) -> None:
    replica = await open_replica(world)
    world.iam.faults.add(Fault(omit_claims=("scope",), answer={"scope": READ}, times=1))
    assert (await issue(replica)).scopes == (READ,)
    # silence means as asked (RFC 6749 section 5.1)
    world.iam.faults.add(Fault(omit_claims=("scope",), omit=("scope",), times=1))
    assert (await issue(replica, audiences=(STORAGE,))).scopes == (CREATE, READ)


@pytest.mark.parametrize(
    "error, kind",
    [
        ("invalid_target", AudienceRefusedError),
        ("invalid_scope", ScopeRefusedError),
        ("insufficient_scope", ScopeRefusedError),
        ("invalid_token", ExchangeRefusedError),
        ("invalid_grant", ExchangeRefusedError),
        ("access_denied", ExchangeRefusedError),
        ("invented", ExchangeRefusedError),
    ],
)
async def test_iam_s_refusals_are_told_by_our_codes(
    world: World, elsewhere: Loopback, error: str, kind: type[TtsError]
) -> None:
    replica = await open_replica(world)
    elsewhere.say("/token", {"error": error, "error_description": "hunter2"}, status=400)
    known = replica.exchanging[ISSUER]

    async def endpoint(_: Deadline) -> str:
        return elsewhere.url + "/token"

    refusing = TokenEndpoint(ISSUER, known.settings, replica.fetcher, endpoint, world.clock)
    replica.exchanging = {**replica.exchanging, ISSUER: replace(known, endpoint=refusing)}
    replica.reception.issuers = replica.exchanging
    with pytest.raises(kind, match="issuer 'test' refuse") as raised:
        await issue(replica)
    assert type(raised.value) is kind or error not in {"invalid_target", "invalid_scope", "insufficient_scope"}
    assert "hunter2" not in raised.value.message
    assert elsewhere.seen == {"/token": 1}


async def test_scopes_that_iam_does_not_have(world: World) -> None:
    replica = await open_replica(world, rules=(rule(scopes=("storage.unknown:/",), profiles=("storage",)),))
    with pytest.raises(ScopeRefusedError, match="issuer 'test' refuses the scopes"):
        await issue(replica)


# --- IAM is down


async def test_iam_down_and_the_cached_is_served_until_its_hard_age(world: World) -> None:
    replica = await open_replica(world)
    first = await issue(replica)
    presented = world.token()
    await world.iam.stop()
    for seconds in (1, PAST_SOFT, BEFORE_HARD):
        world.clock.time = START + seconds
        assert await issue(replica, presented) == first
        await replica.behind()
    with pytest.raises(UpstreamUnavailableError):
        await issue(replica, presented, scopes=(READ,))
    world.clock.time = START + BEFORE_HARD + 2
    with pytest.raises(UpstreamUnavailableError):
        await issue(replica, presented)


async def test_another_process_serves_what_is_in_the_store(world: World) -> None:
    first = await issue(await open_replica(world))
    world.clock.time += PAST_SOFT
    other, presented = world.replica(setup(), store=world.store()), world.token()
    await other.identity(presented)  # it has IAM's keys
    world.iam.faults.add(Fault(status=503, body="html"))
    assert await issue(other, presented) == first
    world.clock.time = START + BEFORE_HARD + 2
    with pytest.raises(UpstreamUnavailableError):
        await issue(other, presented)


async def test_what_is_in_the_store_is_free_as_what_is_in_memory(world: World) -> None:
    first = await issue(await open_replica(world))
    world.clock.time += PAST_SOFT
    other = world.replica(setup(limits=replace(GENEROUS, identity=Rate(1, 6000.0))), store=world.store())
    await issue(other, lifetime=600)  # which is all that it may have
    assert await issue(other) == first


async def test_a_caller_waits_no_longer_than_its_deadline(world: World) -> None:
    replica = await open_replica(world)
    asker = Asker(await replica.identity(token := world.token()), token, "192.0.2.1")
    world.iam.faults.add(Fault(grant="token_exchange", delay=NOT_AT_ALL))
    with pytest.raises(OverloadedError):
        await issue_to(replica, asker, seconds=0.2)
    world.iam.faults.clear()
    await replica.access_tokens.drain()
    assert claims(await issue_to(replica, asker))["aud"] == XCACHE
    assert world.asked == {"token_exchange": 1}, "what was under way was kept"


# --- renewal


async def test_renewed_behind_once_past_the_soft_age(world: World) -> None:
    replica = await open_replica(world)
    first = await issue(replica)
    world.clock.time += 0.44 * LIFETIME
    assert await issue(replica) == first
    await replica.behind()
    assert await issue(replica) == first
    world.clock.time = START + PAST_SOFT
    assert {each.token for each in await together(lambda: issue(replica), 50)} == {first.token}
    await replica.behind()
    renewed = {each.token for each in await together(lambda: issue(replica), 50)}
    assert len(renewed) == 1
    assert renewed != {first.token}
    assert world.asked == {"token_exchange": 2}


async def test_renewed_by_the_newer_of_the_presented_tokens(start_world: StartWorld) -> None:
    world = await start_world(access_lifetime=int(DAY))
    replica = await open_replica(world)
    older = world.token()
    world.clock.time += 0.9 * DAY
    first = await issue(replica, older)
    began = world.clock.time
    assert first.not_after == began + LIFETIME
    world.clock.time = began + PAST_SOFT  # the older token has not ended, and nobody has come since
    withdraw(world, older)
    await replica.behind()
    asked = world.asked["token_exchange"]
    world.clock.time += 10
    assert await issue(replica, world.token()) == first
    await replica.behind()
    assert (await issue(replica, world.token())).token != first.token
    assert world.asked["token_exchange"] == asked + 1


async def test_nothing_is_renewed_by_a_token_that_has_ended(start_world: StartWorld) -> None:
    world = await start_world(access_lifetime=int(LIFETIME))
    replica = await open_replica(world)
    older = world.token()
    world.clock.time += 0.9 * LIFETIME
    first, began = await issue(replica, older), world.clock.time
    asked = dict(world.asked)
    world.clock.time = began + PAST_SOFT
    await replica.behind()
    assert world.asked == asked, "the token of who came has ended meanwhile"
    assert await issue(replica) == first
    await replica.behind()
    assert (await issue(replica)).not_after > first.not_after
    assert world.asked["token_exchange"] == asked["token_exchange"] + 1


async def test_nothing_is_renewed_that_would_not_be_granted_now(world: World) -> None:
    production = rule("p", when=When(groups=("/cms/production",)), scopes=(READ, CREATE), profiles=("storage",))
    replica = await open_replica(world, rules=(production,), policy=replace(POLICY, confirm=HOUR))
    await issue(replica)
    account = world.iam.state.accounts["jane"]
    account.user = replace(account.user, groups=("/cms",))
    world.clock.time += HOUR
    await replica.behind()  # IAM says so when the session is confirmed
    await replica.confirmed(await replica.session())
    asked = world.asked["token_exchange"]
    world.clock.time = START + PAST_SOFT
    await replica.behind()
    assert world.asked["token_exchange"] == asked


async def test_a_renewal_that_iam_refuses_leaves_what_there_is(world: World) -> None:
    replica = await open_replica(world)
    first = await issue(replica)
    world.iam.faults.add(Fault(claims={"sub": "mallory"}))
    world.clock.time = START + PAST_SOFT
    for _ in range(20):
        assert await issue(replica) == first
        await replica.behind()
    assert world.asked["token_exchange"] <= 3, "it is not asked at every request"


# --- many at once


async def test_many_callers_with_tokens_of_their_own_are_one_exchange(world: World) -> None:
    replica = await open_replica(world)
    issued = await asyncio.gather(*(issue(replica, world.token()) for _ in range(50)))
    assert len({each.token for each in issued}) == 1
    assert world.asked == {"token_exchange": 1}


async def test_who_leads_and_is_refused_is_refused_alone(world: World) -> None:
    replica = await open_replica(world)
    tokens = [world.token() for _ in range(20)]
    for token in tokens[:2]:
        withdraw(world, token)
    world.iam.faults.add(Fault(grant="token_exchange", delay=NOT_AT_ALL, times=1))
    callers = [asyncio.create_task(issue(replica, token)) for token in tokens]
    await until(lambda: world.asked["token_exchange"] == 1)
    world.iam.faults.clear()
    outcomes: list[Any] = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(outcomes[0], ExchangeRefusedError)
    assert "does not take the presented token" in outcomes[0].message
    served = [each for each in outcomes if isinstance(each, IssuedToken)]
    assert len({each.token for each in served}) == 1
    # the second of the refused may have joined a flight of another's
    assert len(served) >= len(tokens) - 2
    assert world.asked["token_exchange"] <= 3


async def test_who_leads_and_has_had_enough_is_limited_alone(world: World) -> None:
    replica = await open_replica(world, limits=replace(GENEROUS, identity=Rate(3, 60.0)))
    token = world.token()
    identity = await replica.identity(token)
    busy, other = (Asker(identity, token, peer) for peer in ("192.0.2.1", "192.0.2.2"))
    for lifetime in (600, 601, 602):
        await issue_to(replica, busy, lifetime=lifetime)
    for _ in range(5):
        await issue_to(replica, busy, lifetime=600)  # what is cached is free
    led, joined = await asyncio.gather(
        issue_to(replica, busy, lifetime=700), issue_to(replica, other, lifetime=700), return_exceptions=True
    )
    assert isinstance(led, RateLimitedError)
    assert isinstance(joined, IssuedToken)


async def test_a_caller_that_goes_away_disturbs_nobody(world: World) -> None:
    replica = await open_replica(world)
    world.iam.faults.add(Fault(grant="token_exchange", delay=NOT_AT_ALL))
    callers = [asyncio.create_task(issue(replica, world.token())) for _ in range(20)]
    await until(lambda: world.asked["token_exchange"] == 1)
    for caller in callers[::2]:
        caller.cancel()
    world.iam.faults.clear()
    issued = await asyncio.gather(*callers[1::2])
    assert len({each.token for each in issued}) == 1
    assert world.asked == {"token_exchange": 1}


# --- who is revoked, and whose session has ended


async def test_an_identity_that_is_revoked(world: World) -> None:
    replica = await open_replica(world)
    await issue(replica)
    identity = await replica.identity(world.token())
    await replica.revocations.revoke_identity(revocation(identity, world.clock.time))
    asked = dict(world.asked)
    asks: list[dict[str, Any]] = [{}, {"scopes": (READ,)}]
    for ask in asks:
        with pytest.raises(SubjectRevokedError, match="restore"):
            await issue(replica, **ask)
    world.clock.time += PAST_SOFT
    await replica.behind()
    assert dict(world.asked) == asked
    assert claims(await issue(replica, world.token("joe")))["aud"] == XCACHE
    await replica.revocations.restore_identity(identity.issuer, identity.subject)
    assert claims(await issue(replica))["aud"] == XCACHE


async def test_an_identity_that_is_revoked_while_iam_is_at_it(world: World) -> None:
    replica = await open_replica(world)
    identity = await replica.identity(world.token())
    world.iam.faults.add(Fault(grant="token_exchange", delay=NOT_AT_ALL))
    asking = asyncio.create_task(issue(replica))
    await until(lambda: world.asked["token_exchange"] == 1)
    await replica.revocations.revoke_identity(revocation(identity, world.clock.time))
    world.iam.faults.clear()
    with pytest.raises(SubjectRevokedError):
        await asking
    await replica.revocations.restore_identity(identity.issuer, identity.subject)
    await issue(replica)
    assert world.asked["token_exchange"] == 2, "nothing was kept of the first"


async def test_a_session_that_has_ended_gives_none(world: World) -> None:
    replica = await open_replica(world, policy=replace(POLICY, confirm=HOUR))
    first = await issue(replica)
    world.iam.state.suspend("jane")
    world.clock.time += HOUR
    assert await issue(replica) == first, "the refresh is under way behind it"
    await replica.behind()
    with pytest.raises(ExchangeRefusedError, match="suspended"):
        await issue(replica)
    world.iam.state.restore("jane")
    assert (await issue(replica)).token != first.token


async def test_a_session_that_ends_under_way_is_opened_again(world: World) -> None:
    """The session's refresh is refused while the presented token is still good: that opens the next one."""
    replica = await open_replica(world, policy=replace(POLICY, confirm=HOUR))
    before = await replica.session()
    world.iam.state.revoke_refresh_tokens("jane")
    world.clock.time += HOUR
    presented = world.token()
    with pytest.raises(ExchangeRefusedError, match="the session has ended"):
        await issue(replica, presented)
    assert claims(await issue(replica, presented))["aud"] == XCACHE
    assert (await replica.session(presented)).generation != before.generation


# --- standing sessions

PILOT = When(session=("pilot",))


@pytest.fixture
def token_file(world: World, tmp_path: Path) -> Path:
    file = tmp_path / "pilot.token"
    file.write_text(world.token())
    file.chmod(0o600)
    return file


def standing(world: World, token: Path | None, **changes: Any) -> Replica:  # noqa: ANN401 - Setup's own
    ours = rule("pilots", TOP + "/CN=pilot", when=PILOT, account=None, scopes=(READ,), profiles=("storage",))
    return world.replica(setup(rules=(ours,), sessions=(StandingSession("pilot", ISSUER, token),), **changes))


async def issue_to_a_pod(replica: Replica, **request: Any) -> IssuedToken:  # noqa: ANN401
    identity, _ = await replica.standing.current("pilot", Deadline.after(10))
    return await issue_to(replica, Asker(identity, "a.clusters.token", "a-pod"), **request)


async def test_what_a_standing_session_s_own_token_is_exchanged_for(world: World, token_file: Path) -> None:
    replica = standing(world, token_file)
    issued = await issue_to_a_pod(replica)
    assert (claims(issued)["sub"], claims(issued)["scope"]) == (world.iam.config.user("jane").sub, READ)
    assert claims(issued)["act"] == {"sub": "ttscache", "act": {"sub": "ttscache"}}, "it was exchanged twice"
    assert await issue_to_a_pod(replica) == issued
    assert world.asked == {"token_exchange": 2}
    # jane's own session is another
    mine = rule(scopes=(READ,), profiles=("storage",))
    assert (await issue(world.replica(setup(rules=(mine,))))).token != issued.token


async def test_its_token_is_refreshed_before_it_is_exchanged(start_world: StartWorld, tmp_path: Path) -> None:
    world = await start_world(access_lifetime=int(LIFETIME))
    (tmp_path / "token").write_text(world.token())
    (tmp_path / "token").chmod(0o600)
    replica = standing(world, tmp_path / "token")
    await issue_to_a_pod(replica)
    (tmp_path / "token").unlink()
    for number in (1, 2, 3):
        world.clock.time += LIFETIME
        issued = await issue_to_a_pod(replica)
        assert claims(issued)["exp"] == world.clock.time + LIFETIME
        assert world.granted == {"token_exchange": 2 + number, "refresh_token": number}


async def test_it_is_renewed_with_nobody_there(world: World, token_file: Path) -> None:
    replica = standing(world, token_file)
    first = await issue_to_a_pod(replica)
    world.clock.time += PAST_SOFT
    await replica.behind()
    assert (await issue_to_a_pod(replica)).token != first.token
    assert world.asked == {"token_exchange": 3}


async def test_of_the_daemon_s_own_client(world: World) -> None:
    replica = standing(world, None, scopes=("wlcg", "offline_access"))
    issued = await issue_to_a_pod(replica)
    assert (claims(issued)["sub"], claims(issued)["aud"], issued.scopes) == ("ttscache", XCACHE, (READ,))
    assert world.asked == {"client_credentials": 1, "token_exchange": 1}


async def test_one_that_cannot_be_refreshed_gives_none_past_its_token(start_world: StartWorld, tmp_path: Path) -> None:
    world = await start_world(access_lifetime=int(LIFETIME))
    (tmp_path / "token").write_text(world.token())
    (tmp_path / "token").chmod(0o600)
    replica = standing(world, tmp_path / "token", scopes=("openid", "wlcg.groups"))
    await issue_to_a_pod(replica)
    world.clock.time += LIFETIME + 40
    with pytest.raises(ExchangeRefusedError, match="standing session 'pilot' is not taken"):
        await issue_to_a_pod(replica)


async def test_standing_sessions_that_give_none(world: World, token_file: Path) -> None:
    replica = standing(world, token_file, policy=replace(POLICY, confirm=HOUR))
    identity, session = await replica.standing.current("pilot", Deadline.after(10))
    await issue_to_a_pod(replica)
    key = replica.sessions.key_of(session)
    asker = Asker(identity, "a.clusters.token", "a-pod")
    closed = Revocation(ISSUER, session.subject, world.clock.time, "the test", "", "pilot")
    await replica.revocations.revoke_session(key, closed)
    await replica.sessions.revoke(key, "revoked")
    for lifetime in (None, 600):
        with pytest.raises(SubjectRevokedError, match="session open pilot"):
            await issue_to(replica, asker, lifetime=lifetime)
    await replica.standing.open("pilot", Deadline.after(10))
    await issue_to(replica, asker)
    await replica.revocations.revoke_identity(replace(closed, name=None))
    with pytest.raises(SubjectRevokedError, match="restore"):
        await issue_to(replica, asker)
    await replica.revocations.restore_identity(ISSUER, session.subject)
    world.iam.state.suspend("jane")
    world.clock.time += 2 * HOUR
    await replica.behind()
    with pytest.raises(ExchangeRefusedError, match="suspended"):
        await issue_to(replica, asker)
