"""Sessions with a real IAM."""

import asyncio
from dataclasses import replace

import pytest

from tests.broker.conftest import StartWorld
from tests.broker.world import DAY, HOUR, ISSUER, POLICY, Replica, Setup, World, together, until
from ttscache.broker import session_records
from ttscache.broker.codec import decode_session
from ttscache.broker.keys import session_key
from ttscache.broker.sessions import SessionGoneError
from ttscache.errors import (
    ExchangeRefusedError,
    OverloadedError,
    SessionLostError,
    UnavailableError,
    UpstreamUnavailableError,
)
from ttscache.model import Session, SessionState
from ttscache.sandbox.iam import Fault

LOST = Fault(grant="refresh_token", reset=True, late=True, times=1)


async def stored(replica: Replica, username: str = "jane") -> Session:
    sub = replica.world.iam.config.user(username).sub
    record = await replica.store.get(session_key(ISSUER, sub, replica.exchanging[ISSUER].asked))
    assert record is not None
    return decode_session(record.value)


async def test_opened_by_exchange(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    assert session == await stored(replica)
    assert session.state is SessionState.ACTIVE
    assert session.refresh_token is not None
    assert session.ends_at == world.clock.time + POLICY.absolute
    assert session.refresh_token not in repr(session)
    assert world.granted == {"token_exchange": 1}


async def test_opened_once_for_many_callers_with_different_tokens(world: World) -> None:
    replica = world.replica()
    sessions = await together(lambda: replica.session(world.token()), 100)
    assert len(set(sessions)) == 1
    assert world.asked == {"token_exchange": 1}


async def test_opened_once_by_replicas_together(world: World) -> None:
    replicas = [world.replica(store=world.store()) for _ in range(3)]
    sessions = await asyncio.gather(*(replica.session() for replica in replicas for _ in range(10)))
    assert len(set(sessions)) == 1
    assert world.asked == {"token_exchange": 1}


async def test_each_identity_has_its_own(world: World) -> None:
    replica = world.replica()
    jane, joe = await replica.session(world.token("jane")), await replica.session(world.token("joe"))
    assert jane.subject != joe.subject
    assert jane.refresh_token != joe.refresh_token


async def test_a_refused_leader_spoils_nobody(world: World) -> None:
    replica = world.replica()
    bad, good = world.token(), world.token()
    world.iam.state.access.remove(bad)  # revoked, but still well signed
    outcomes = await asyncio.gather(
        *(replica.session(token) for token in (bad, good, bad, good)), return_exceptions=True
    )
    assert isinstance(outcomes[1], Session)
    assert outcomes[1] == outcomes[3]
    assert isinstance(outcomes[0], ExchangeRefusedError)
    assert world.granted == {"token_exchange": 1}


async def test_all_refused_all_told(world: World) -> None:
    replica = world.replica()
    world.iam.state.suspend("jane")
    outcomes = await together(replica.session, 10)
    assert all(isinstance(outcome, ExchangeRefusedError) for outcome in outcomes)


async def test_an_opener_that_goes_away_disturbs_nobody(world: World) -> None:
    replica = world.replica()
    world.iam.faults.add(Fault(grant="token_exchange", delay=20))
    first = asyncio.create_task(replica.session())
    await until(lambda: world.asked["token_exchange"] == 1)
    second = asyncio.create_task(replica.session())
    first.cancel()
    world.iam.faults.clear()
    assert (await second).state is SessionState.ACTIVE
    assert world.asked == {"token_exchange": 1}


async def test_left_alone_until_confirm(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR - 1
    assert await replica.confirmed(session) is session
    assert world.asked["refresh_token"] == 0


async def test_refreshed_when_older_than_confirm(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    refreshed = await replica.confirmed(session)
    assert refreshed.confirmed_at == world.clock.time
    assert refreshed.refresh_token != session.refresh_token
    assert refreshed.generation == session.generation
    assert refreshed == await stored(replica)
    assert world.granted["refresh_token"] == 1


async def test_refreshed_once_for_many_callers(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    await together(lambda: replica.confirmed(session), 100)
    assert world.asked["refresh_token"] == 1


async def test_a_single_use_token_has_one_holder_among_replicas(start_world: StartWorld) -> None:
    world = await start_world(reuse_revokes_family=True)
    replicas = [world.replica(store=world.store()) for _ in range(3)]
    for rounds in range(1, 6):
        sessions = [await replica.session() for replica in replicas]
        world.clock.time += HOUR
        confirmed = await asyncio.gather(
            *(r.confirmed(s) for r, s in zip(replicas, sessions, strict=True) for _ in range(5))
        )
        assert {session.confirmed_at for session in confirmed} == {world.clock.time}
        assert world.asked["refresh_token"] == world.granted["refresh_token"] == rounds
    assert world.granted["token_exchange"] == 1


async def test_the_holder_waits_for_a_slow_iam_and_the_others_for_the_holder(start_world: StartWorld) -> None:
    world = await start_world(reuse_revokes_family=True)
    one, other = (world.replica(store=world.store()) for _ in range(2))
    session = await one.session()
    world.clock.time += HOUR
    world.iam.faults.add(Fault(grant="refresh_token", delay=20))
    first = asyncio.create_task(one.confirmed(session))
    await until(lambda: world.asked["refresh_token"] == 1)
    assert (await stored(one)).state is SessionState.REFRESHING
    second = asyncio.create_task(other.confirmed(session))
    # a jump of the clock does not hand the lease over
    world.clock.time += 600
    await asyncio.sleep(0)
    world.iam.faults.clear()
    assert (await first).refresh_token == (await second).refresh_token
    assert world.asked["refresh_token"] == 1


async def test_a_holder_that_overslept_its_lease_does_not_overwrite(world: World) -> None:
    one, other = (world.replica(store=world.store()) for _ in range(2))
    session = await one.session()
    world.clock.time += POLICY.grace + 1
    world.iam.faults.add(Fault(grant="refresh_token", delay=20, times=1))
    first = asyncio.create_task(one.confirmed(session))
    await until(lambda: world.asked["refresh_token"] == 1)
    world.clock.slept = 1000.0
    refreshed = await other.confirmed(session)
    world.iam.faults.clear()
    # it is told that its token is spent, which is no longer its business
    with pytest.raises(OverloadedError, match="another replica"):
        await first
    assert await stored(one) == refreshed


async def test_the_new_token_is_kept_before_the_answer_is_looked_at(world: World) -> None:
    session = await world.replica().session()
    world.clock.time += HOUR
    # one that has no keys of the IAM yet, and has to wait for them
    replica = world.replica(store=world.store())
    world.iam.faults.add(Fault(endpoint="jwks", delay=20))
    refreshing = asyncio.create_task(replica.confirmed(session))
    await until(lambda: world.iam.counters.requests["jwks"] > 1)
    kept = await stored(replica)
    assert kept.refresh_token != session.refresh_token
    assert kept.confirmed_at == session.confirmed_at
    world.iam.faults.clear()
    assert (await refreshing).confirmed_at == world.clock.time


async def test_a_lost_answer_within_grace_and_the_token_was_not_spent(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(Fault(grant="refresh_token", reset=True, times=1))
    assert (await replica.confirmed(session)).confirmed_at == session.confirmed_at
    assert (await stored(replica)).state is SessionState.REFRESHING
    # another process finds the mark, tries the token once, and it is still good
    other = world.replica(store=world.store())
    assert (await other.confirmed(await other.session())).confirmed_at == world.clock.time
    assert world.asked["token_exchange"] == 1


async def test_a_lost_answer_and_the_token_was_spent(start_world: StartWorld) -> None:
    world = await start_world(reuse_revokes_family=True)
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(LOST)
    await replica.confirmed(session)
    other = world.replica(store=world.store())
    with pytest.raises(SessionLostError, match="try again to open a new one"):
        await other.confirmed(await other.session())
    ended = await stored(other)
    assert (ended.state, ended.end_reason, ended.refresh_token) == (SessionState.ENDED, "session_lost", None)
    opened = await other.session()
    assert opened.generation != session.generation
    assert (world.asked["token_exchange"], world.asked["refresh_token"]) == (2, 2)


async def test_one_lost_session_is_no_other_s(world: World) -> None:
    replica = world.replica()
    jane, joe = await replica.session(world.token("jane")), await replica.session(world.token("joe"))
    world.clock.time += HOUR
    world.iam.faults.add(LOST)
    await replica.confirmed(jane)
    assert (await stored(replica, "joe")) == joe


async def test_a_suspended_user(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.iam.state.suspend("jane")
    world.clock.time += HOUR
    with pytest.raises(ExchangeRefusedError, match=r"suspended.*obtain a new token"):
        await replica.confirmed(session)
    ended = await stored(replica)
    assert ended.state is SessionState.ENDED
    assert "suspended" in (ended.end_reason or "")
    assert ended.refresh_token is None
    with pytest.raises(ExchangeRefusedError):
        await replica.session()
    world.iam.state.restore("jane")
    assert (await replica.session()).generation != session.generation


async def test_an_unsigned_aup(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.iam.state.unsign_aup("jane")
    world.clock.time += HOUR
    for work in (replica.confirmed(session), replica.session()):
        with pytest.raises(ExchangeRefusedError, match="sign the Acceptable Usage Policy"):
            await work
    assert "Acceptable Usage Policy" in ((await stored(replica)).end_reason or "")


async def test_iam_down_within_grace_and_beyond(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    port = int(world.iam.url.rsplit(":", 1)[1].strip("/"))
    await world.iam.stop()
    world.clock.time += POLICY.grace
    assert await replica.confirmed(session) is session
    world.clock.time += 1
    with pytest.raises(UnavailableError):
        await replica.confirmed(session)
    assert (await stored(replica)).state is SessionState.ACTIVE
    await world.iam.start(port=port)
    # used at once: a probe is waited for, however short the caller's patience
    assert (await replica.confirmed(session)).confirmed_at == world.clock.time


@pytest.mark.parametrize(
    "fault", [Fault(status=503, body="html"), Fault(status=429, retry_after="0"), Fault(body="garbage")]
)
async def test_a_broken_iam_ends_no_session(world: World, fault: Fault) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(replace(fault, grant="refresh_token"))
    assert (await replica.confirmed(session)).refresh_token == session.refresh_token
    world.iam.faults.clear()
    world.clock.time += POLICY.grace
    assert (await replica.confirmed(session)).confirmed_at == world.clock.time


async def test_failed_refreshes_are_no_storm(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(Fault(grant="refresh_token", status=503))
    for _ in range(50):
        await replica.confirmed(session)
        replica.sessions.confirm_behind(session)
    await replica.sessions.drain()
    assert world.asked["refresh_token"] == 1


async def test_a_slow_iam_keeps_nobody_within_grace(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(Fault(grant="refresh_token", delay=20))
    began = asyncio.get_running_loop().time()
    assert await replica.confirmed(session, seconds=0.4) is session
    assert asyncio.get_running_loop().time() - began < 0.35
    world.iam.faults.clear()
    await replica.sessions.drain()
    assert (await stored(replica)).confirmed_at == world.clock.time
    assert world.asked["refresh_token"] == 1


async def test_wrong_client_credentials_end_no_session(world: World) -> None:
    session = await world.replica().session()
    world.clock.time += HOUR
    misled = world.replica(Setup(secret="wrong"))
    assert (await misled.confirmed(session)).generation == session.generation
    assert (await stored(misled)).state is SessionState.ACTIVE
    world.clock.time += POLICY.grace
    with pytest.raises(UpstreamUnavailableError, match="client"):
        await misled.confirmed(session)
    assert (await world.replica().confirmed(session)).confirmed_at == world.clock.time


async def test_no_refresh_token(start_world: StartWorld) -> None:
    world = await start_world(access_lifetime=1200)
    replica = world.replica(Setup(scopes=("openid", "wlcg.groups")))
    session = await replica.session()
    assert (session.refresh_token, session.ends_at) == (None, world.clock.time + 1200)
    world.clock.time += 1199
    assert await replica.confirmed(session) == await replica.session()
    world.clock.time += 1
    assert (await replica.session()).generation != session.generation
    assert world.asked == {"token_exchange": 2}


async def test_a_null_refresh_token_is_none(world: World) -> None:
    world.iam.faults.add(Fault(answer={"refresh_token": None}, times=1))
    assert (await world.replica().session()).refresh_token is None


async def test_a_refresh_token_for_many_uses_is_kept(start_world: StartWorld) -> None:
    world = await start_world(single_use_refresh=False)
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(Fault(grant="refresh_token", omit=("refresh_token",)))
    assert (await replica.confirmed(session)).refresh_token == session.refresh_token


async def test_idle(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += POLICY.idle
    assert (await replica.session()).generation == session.generation
    world.clock.time += 1
    assert (await replica.session()).generation != session.generation


async def test_absolute(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    for _ in range(29):
        world.clock.time += DAY
        session = await replica.confirmed(session)
    world.clock.time += DAY - 1
    assert (await replica.session()).generation == session.generation
    world.clock.time += 1
    assert (await replica.session()).generation != session.generation


@pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR])
async def test_a_jump_of_the_daemons_clock_costs_no_session_and_is_no_storm(
    start_world: StartWorld, jump: float
) -> None:
    iam_clock = lambda: 2_000_000_000.0  # noqa: E731 - the IAM's own clock stands
    world = await start_world(now=iam_clock, access_lifetime=HOUR)
    replica = world.replica()
    session = await replica.session()
    world.clock.time += jump
    for _ in range(20):
        # what comes from the IAM is not valid at this time: no verdict on the user
        assert (await replica.confirmed(session)).generation == session.generation
    assert world.asked["refresh_token"] <= 1
    world.clock.time -= jump
    kept = await stored(replica)
    assert kept.state is SessionState.ACTIVE
    assert (await replica.confirmed(kept)).generation == session.generation
    assert world.asked["token_exchange"] == 1


async def test_a_clock_that_is_set_back_confirms_once(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time -= 30  # what replicas' clocks may differ by
    assert await replica.confirmed(session) is session
    world.clock.time -= HOUR
    for _ in range(20):
        session = await replica.confirmed(session)
    assert session.confirmed_at == world.clock.time
    assert world.asked["refresh_token"] == 1


@pytest.mark.parametrize(
    "fault, said",
    [
        (Fault(claims={"sub": "mallory"}), "another subject"),
        (Fault(answer={"scope": "openid storage.modify:/"}), "more scopes"),
        (Fault(opaque=True), "does not verify"),
    ],
)
async def test_answers_that_are_not_what_was_asked_for(world: World, fault: Fault, said: str) -> None:
    replica = world.replica()
    world.iam.faults.add(replace(fault, grant="token_exchange", times=1))
    with pytest.raises(ExchangeRefusedError, match=said):
        await replica.session()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(replace(fault, grant="refresh_token", times=1))
    with pytest.raises(ExchangeRefusedError, match=said):
        await replica.confirmed(session)
    assert (await stored(replica)).state is SessionState.ENDED


async def test_a_key_that_is_not_known_yet_ends_no_session(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.keys.rotate()  # and the keys were fetched a moment ago, which is when they are not fetched again
    assert (await replica.confirmed(session)).confirmed_at == session.confirmed_at
    kept = await stored(replica)
    assert kept.state is SessionState.ACTIVE
    assert kept.refresh_token != session.refresh_token
    assert (await world.replica().confirmed(kept)).confirmed_at == world.clock.time


async def test_another_replica_sees_the_end_within_a_second(world: World) -> None:
    one, other = world.replica(), world.replica(store=world.store())
    session = await one.session()
    assert await other.session() == session
    world.iam.state.suspend("jane")
    world.clock.time += HOUR
    with pytest.raises(ExchangeRefusedError):
        await one.confirmed(session)
    for key in list(other.sessions.records._held):
        other.sessions.records._held[key].read_at -= 1.0
    with pytest.raises(ExchangeRefusedError):
        await other.session()


async def test_ended_by_another_process_it_is_gone_here_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = world.replica(), world.replica(store=world.store())
    session = await one.session()
    assert await other.session() == session
    world.iam.state.suspend("jane")
    world.clock.time += 2 * HOUR
    with pytest.raises(ExchangeRefusedError):
        await other.confirmed(await other.session())
    monkeypatch.setattr(session_records, "_REREAD_SECONDS", 0.0)
    with pytest.raises(SessionGoneError):
        await one.confirmed(session)
    with pytest.raises(ExchangeRefusedError, match="the session before ended"):
        await one.issue()
    world.iam.state.restore("jane")
    assert (await one.issue()).profile == "pilot"
