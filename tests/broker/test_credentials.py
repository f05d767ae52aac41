"""Credentials, from the token to the proxy."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from proxy_gen.keys import KeyKind
from tests.broker.conftest import StartWorld
from tests.broker.world import (
    DAY,
    HOUR,
    POLICY,
    PRODUCTION,
    START,
    TOP,
    Setup,
    World,
    an_authority,
    csr,
    profile,
    rule,
    together,
    until,
)
from tests.tools import openssl
from ttscache.errors import (
    CsrInvalidError,
    CsrWeakKeyError,
    DnRefusedError,
    ExchangeRefusedError,
    LifetimeRefusedError,
    ProfileRefusedError,
    ProfileUnknownError,
    StoreUnavailableError,
    UnavailableError,
)
from ttscache.mapping.rules import When
from ttscache.mapping.template import Template
from ttscache.model import Credential
from ttscache.sandbox.iam import Fault, User

# Half of twelve hours at most, and a little.
LIMITED = "1.3.6.1.4.1.3536.1.1.1.9"
PAST_SOFT, BEFORE_HARD = 0.56 * 43200, 43200 - 601


def leaf(credential: Credential) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credential.pem)


async def test_a_proxy_that_is_cached(world: World) -> None:
    replica = world.replica()
    first = await replica.issue()
    assert first.identity == f"{TOP}/CN=jane"
    assert first.subject.startswith(first.identity + "/CN=")
    assert (first.account, first.profile, first.shortened_by) == ("jane", "pilot", ())
    assert first.not_after == world.clock.time + 43200
    assert leaf(first).serial_number == first.serial
    assert await replica.issue() == first
    # the other replica finds it in the store
    assert await world.replica(store=world.store()).issue() == first


async def test_a_thousand_callers_one_exchange_one_eec_one_proxy(world: World) -> None:
    replica = world.replica()
    issued = await together(lambda: replica.issue(world.token(), seconds=20), 1000)
    assert {type(each) for each in issued} == {Credential}
    assert len({(each.serial, each.eec_serial) for each in issued}) == 1
    assert world.asked == {"token_exchange": 1}


async def test_replicas_agree_on_one_proxy(world: World) -> None:
    replicas = [world.replica(store=world.store()) for _ in range(3)]
    issued = await asyncio.gather(*(replica.issue() for replica in replicas for _ in range(20)))
    assert len({each.serial for each in issued}) == 1
    assert world.asked == {"token_exchange": 1}


async def test_many_identities_each_get_their_own(start_world: StartWorld) -> None:
    users = tuple(User(username=f"u{i}", sub=f"s{i}", name="", email="", groups=("/cms",)) for i in range(50))
    world = await start_world(users=users)
    replica = world.replica()
    names = [user.username for user in users] * 4
    issued = await asyncio.gather(*(replica.issue(world.token(name), seconds=20) for name in names))
    assert [each.identity for each in issued] == [f"{TOP}/CN={name}" for name in names]
    assert len({each.eec_serial for each in issued}) == len(users)
    assert world.asked == {"token_exchange": len(users)}


async def test_everything_that_changes_the_answer_has_a_place_of_its_own(world: World) -> None:
    replica = world.replica()
    asks: list[dict[str, Any]] = [
        {},
        {"profile": "limited"},
        {"profile": "short"},
        {"lifetime": 3600},
        {"limited": True},
    ]
    issued = [await replica.issue(**ask) for ask in asks] + [await replica.issue(world.token("joe"))]
    assert len({each.serial for each in issued}) == len(issued)
    # all of jane's stand under one EEC
    assert len({each.eec_serial for each in issued}) == 2
    assert [await replica.issue(**ask) for ask in asks] == issued[:-1]
    assert [LIMITED in openssl.text(each.pem) for each in issued] == [False, True, False, False, True, False]


async def test_fewer_groups_never_get_what_more_were_given(world: World) -> None:
    replica = world.replica(Setup(rules=(PRODUCTION, rule(when=When()))))
    whole, narrow = world.token(), world.token(scope="openid wlcg")
    first = await replica.issue(whole)
    second = await replica.issue(narrow)
    assert (first.account, second.account) == ("cmsprod", "jane")
    assert first.serial != second.serial
    assert (await replica.issue(whole), await replica.issue(narrow)) == (first, second)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "renamed"},
        {"dn": TOP + "/OU=x/CN={preferred_username}"},
        {"account": Template.parse("other")},
        {"fqans": ("/cms/other",)},
        {"scopes": ("storage.read:/",)},
        {"shared": True},
    ],
)
async def test_another_decision_is_another_answer_also_from_the_store(world: World, change: dict[str, Any]) -> None:
    first = await world.replica().issue()
    second = await world.replica(Setup(rules=(rule(**change),))).issue()
    assert first.serial != second.serial


async def test_another_profile_of_the_same_name_is_another_answer(world: World) -> None:
    first = await world.replica().issue()
    changed = (profile(min_lifetime=601), *Setup().profiles[1:])
    assert (await world.replica(Setup(profiles=changed)).issue()).serial != first.serial


async def test_another_authority_is_another_answer(world: World) -> None:
    first = await world.replica().issue()
    world.authority = an_authority()
    second = await world.replica().issue()
    assert second.eec_serial != first.eec_serial


async def test_a_new_session_is_another_answer(world: World) -> None:
    replica = world.replica()
    first = await replica.issue()
    world.clock.time += HOUR
    world.iam.state.suspend("jane")
    assert await replica.issue() == first  # what was granted; the refresh is under way behind it
    await replica.behind()
    with pytest.raises(ExchangeRefusedError, match="suspended"):
        await replica.issue()
    world.iam.state.restore("jane")
    second = await replica.issue()
    assert (second.serial != first.serial, second.eec_serial != first.eec_serial) == (True, True)


async def test_without_exchange_a_credential_ends_with_its_token(start_world: StartWorld) -> None:
    world = await start_world(access_lifetime=1200)
    replica = world.replica(Setup(exchanging=False))
    first_token = world.token()
    first = await replica.issue(first_token)
    assert (first.not_after, first.shortened_by) == (world.clock.time + 1200, ("token",))
    world.clock.time += 300
    second = await replica.issue(world.token())
    assert second.not_after == first.not_after + 300
    assert await replica.issue(first_token) == first
    assert world.asked == {}
    outliving = world.replica(Setup(exchanging=False, profiles=(profile(outlive_token=True), *Setup().profiles[1:])))
    third = await outliving.issue()
    assert (third.not_after, third.shortened_by) == (world.clock.time + 43200, ())
    assert await outliving.issue(world.token()) == third


async def test_served_and_renewed_behind_once_past_the_soft_age(world: World) -> None:
    replica = world.replica(Setup(policy=replace(POLICY, confirm=DAY, grace=DAY)))
    first = await replica.issue()
    world.clock.time += 0.44 * 43200
    assert await replica.issue() == first
    await replica.behind()
    assert await replica.issue() == first
    world.clock.time += 0.12 * 43200
    assert {each.serial for each in await together(replica.issue, 50)} == {first.serial}
    await replica.behind()
    renewed = {each.serial for each in await together(replica.issue, 50)}
    assert len(renewed) == 1
    assert renewed != {first.serial}
    assert world.asked == {"token_exchange": 1}


async def test_iam_down_and_the_cached_is_served_until_its_hard_age(world: World) -> None:
    replica = world.replica()
    first = await replica.issue()
    await world.iam.stop()
    for seconds in (HOUR, 5 * HOUR, BEFORE_HARD):
        world.clock.time = START + seconds
        assert await replica.issue() == first
        await replica.behind()
    # minting goes on within grace alone
    world.clock.time = START + POLICY.grace
    assert (await replica.issue(lifetime=3600)).serial != first.serial
    world.clock.time = START + BEFORE_HARD + 1
    with pytest.raises(UnavailableError):
        await replica.issue()


async def test_a_renewal_that_fails_is_not_begun_at_every_request(world: World) -> None:
    replica = world.replica(Setup(policy=replace(POLICY, grace=HOUR)))
    first = await replica.issue()
    world.iam.faults.add(Fault(grant="refresh_token", status=503))
    world.clock.time += PAST_SOFT
    for _ in range(30):
        assert await replica.issue() == first
        await replica.behind()
    assert world.asked["refresh_token"] <= 2
    world.iam.faults.clear()
    world.clock.time += 10
    replica.sessions._not_before.clear()
    await replica.issue()
    await replica.behind()
    assert (await replica.issue()).serial != first.serial


@pytest.mark.parametrize("jump", [13 * HOUR, -13 * HOUR, 7 * HOUR, -HOUR, -301.0])
async def test_a_jump_of_the_clock_serves_nothing_that_is_not_valid_then(start_world: StartWorld, jump: float) -> None:
    world = await start_world(now=lambda: START)  # the IAM's clock does not jump
    replica = world.replica(Setup(policy=replace(POLICY, grace=2 * DAY)))
    token = world.token()
    identity = await replica.identity(token)  # before the jump: after it, it may look not yet valid
    for moment in (0.0, jump, 0.0, jump, 0.0):
        world.clock.time = START + moment
        for _ in range(5):
            served = await replica.issue_to(identity, token)
            for each in x509.load_pem_x509_certificates(served.pem):
                begun, end = each.not_valid_before_utc.timestamp(), each.not_valid_after_utc.timestamp()
                assert begun <= world.clock.time < end
    await replica.behind()
    assert world.asked["refresh_token"] <= 4
    assert world.asked["token_exchange"] == 1


async def test_a_csr_is_signed_anew_on_the_same_session_and_eec(world: World) -> None:
    replica, request = world.replica(), csr()
    first, second = await replica.issue(csr=request), await replica.issue(csr=request)
    made_here = await replica.issue()
    assert len({first.serial, second.serial, made_here.serial}) == 3
    assert len({first.eec_serial, second.eec_serial, made_here.eec_serial}) == 1
    assert b"PRIVATE KEY" not in first.pem
    assert leaf(first).public_key() == x509.load_pem_x509_csr(request).public_key()
    assert world.asked == {"token_exchange": 1}


async def test_a_csr_refreshes_the_session_first(world: World) -> None:
    replica = world.replica()
    await replica.issue(csr=csr())
    world.clock.time += HOUR
    world.iam.state.suspend("jane")
    with pytest.raises(ExchangeRefusedError, match="suspended"):
        await replica.issue(csr=csr())


async def test_csrs_that_are_refused(world: World) -> None:
    replica = world.replica()
    with pytest.raises(CsrInvalidError):
        await replica.issue(csr=b"nonsense")
    with pytest.raises(CsrInvalidError, match="kind p-256"):
        await replica.issue(csr=csr(KeyKind.RSA_2048))
    with pytest.raises((CsrWeakKeyError, CsrInvalidError)):
        await replica.issue(csr=csr()[:-60])


async def test_a_caller_that_goes_away_disturbs_nobody(world: World) -> None:
    replica = world.replica()
    world.iam.faults.add(Fault(grant="token_exchange", delay=20))
    callers = [asyncio.create_task(replica.issue(world.token())) for _ in range(20)]
    await until(lambda: world.asked["token_exchange"] == 1)
    for caller in callers[::2]:
        caller.cancel()
    world.iam.faults.clear()
    issued = await asyncio.gather(*callers[1::2])
    assert len({each.serial for each in issued}) == 1
    assert world.asked == {"token_exchange": 1}


async def test_a_caller_waits_no_longer_than_its_deadline(world: World) -> None:
    replica = world.replica()
    world.iam.faults.add(Fault(grant="token_exchange", delay=20))
    began = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError):
        await replica.issue(seconds=0.2)
    assert asyncio.get_running_loop().time() - began < 1
    world.iam.faults.clear()
    assert (await replica.issue()).profile == "pilot"  # what was under way was kept
    assert world.asked == {"token_exchange": 1}


async def test_lifetimes_are_cut_and_the_limits_named(world: World) -> None:
    world.authority = an_authority(timedelta(seconds=30000))
    cut = await world.replica().issue()
    assert (cut.not_after, cut.shortened_by) == (world.clock.time + 30000, ("ca",))
    short_session = replace(POLICY, absolute=20000.0)
    cut = await world.replica(Setup(policy=short_session), world.store()).issue(world.token("joe"))
    assert (cut.not_after, cut.shortened_by) == (world.clock.time + 20000, ("session", "ca"))


async def test_below_the_minimum_is_refused_without_a_loop(world: World) -> None:
    world.authority = an_authority(timedelta(seconds=599))
    replica = world.replica()
    for _ in range(3):
        with pytest.raises(LifetimeRefusedError, match=r"only 599 seconds are left \(ca\)"):
            await replica.issue()
    assert (await replica.issue(profile="short", lifetime=60)).shortened_by == ()
    assert (await replica.issue(profile="short", lifetime=600)).shortened_by == ("ca",)


@pytest.mark.parametrize("lifetime", [0, -1, 599, 43201, 10**12])
async def test_lifetimes_outside_the_profile(world: World, lifetime: int) -> None:
    with pytest.raises(LifetimeRefusedError):
        await world.replica().issue(lifetime=lifetime)
    assert world.asked == {}


async def test_profiles_that_may_not_be_had(world: World) -> None:
    replica = world.replica(Setup(rules=(rule(profiles=("short",)),)))
    with pytest.raises(ProfileUnknownError):
        await replica.issue(profile="nope")
    with pytest.raises(ProfileRefusedError, match="allowed: short"):
        await replica.issue(profile="pilot")
    assert (await replica.issue()).profile == "short"


ONE_DN = {"dn": TOP + "/CN=Somebody"}


async def test_a_dn_is_the_first_identity_s(world: World) -> None:
    setup = Setup(rules=(rule(**ONE_DN),))
    replica = world.replica(setup)
    await replica.issue(world.token("jane"))
    for refusing in (replica, world.replica(setup, world.store())):
        with pytest.raises(DnRefusedError, match="belongs to another"):
            await refusing.issue(world.token("joe"))
        with pytest.raises(DnRefusedError):
            await refusing.issue(world.token("joe"), csr=csr())
    assert (await replica.issue(world.token("jane"), lifetime=3600)).identity == TOP + "/CN=Somebody"


@pytest.mark.parametrize("variant", [TOP + "/CN=SOME BODY", TOP + "/CN=some body", "/DC=CH/DC=Example/CN=Some Body"])
async def test_a_dn_that_consumers_take_for_the_same_is_the_same(world: World, variant: str) -> None:
    jane = rule("j", TOP + "/CN=Some Body", when=When(groups=("/cms/production",)))
    replica = world.replica(Setup(rules=(jane, rule("o", variant))))
    await replica.issue(world.token("jane"))
    with pytest.raises(DnRefusedError, match="belongs to another"):
        await replica.issue(world.token("joe"))


async def test_one_of_many_claimants_wins(world: World) -> None:
    replicas = [world.replica(Setup(rules=(rule(**ONE_DN),)), world.store()) for _ in range(2)]
    outcomes = await asyncio.gather(
        replicas[0].issue(world.token("jane")), replicas[1].issue(world.token("joe")), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Credential", "DnRefusedError"]


async def test_a_shared_dn(world: World) -> None:
    shared = world.replica(Setup(rules=(rule(**ONE_DN, shared=True),)))
    jane, joe = await shared.issue(world.token("jane")), await shared.issue(world.token("joe"))
    assert jane.identity == joe.identity
    assert jane.eec_serial != joe.eec_serial
    # sharing makes nobody its owner
    owned = world.replica(Setup(rules=(rule(**ONE_DN),)))
    assert (await owned.issue(world.token("joe"))).identity == joe.identity
    with pytest.raises(DnRefusedError):
        await owned.issue(world.token("jane"))


async def test_openssl_takes_it(world: World) -> None:
    credential = await world.replica().issue()
    assert len(openssl.certificates(credential.pem)) == 2
    assert openssl.subject(credential.pem) == credential.subject


async def test_without_the_store_memory_is_served_for_a_while_and_nothing_is_minted(world: World) -> None:
    replica = world.replica(Setup(stale_for=5.0))
    first = await replica.issue()
    await replica.store.close()
    held = replica.sessions.records._held.values()
    for age in (2.0, 4.0):
        for each in held:  # as if it had been read so long ago
            each.read_at = asyncio.get_running_loop().time() - age
        assert await replica.issue() == first
        asks: list[dict[str, Any]] = [{"csr": csr()}, {"lifetime": 3600}]
        for ask in asks:
            with pytest.raises(StoreUnavailableError):
                await replica.issue(**ask)
    for each in held:
        each.read_at -= 5.0
    with pytest.raises(StoreUnavailableError):
        await replica.issue()


async def test_what_can_be_made_again_need_not_be_readable(world: World, tmp_path: Path) -> None:
    first = await world.replica().issue()
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("UPDATE records SET value = x'00' WHERE key LIKE 'parent/%' OR key LIKE 'credential/%'")
    again = await world.replica().issue()
    assert again.eec_serial != first.eec_serial
    assert again.identity == first.identity
