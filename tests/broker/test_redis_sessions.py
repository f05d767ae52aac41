"""Sessions over Redis, where nobody can tell a holder that died from one that cannot be heard."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.broker.conftest import StartWorld
from tests.broker.test_revocations import revocation
from tests.broker.world import HOUR, Replica, World, until
from tests.store.benches import address_of
from tests.tools.redis import RedisServer
from ttscache.broker.refreshing import LEASE_SECONDS
from ttscache.errors import OverloadedError, SessionLostError, SubjectRevokedError, UpstreamUnavailableError
from ttscache.model import Session, SessionState
from ttscache.sandbox.iam import Fault
from ttscache.store.redis import RedisStore


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
async def shared(start_world: StartWorld, server: RedisServer) -> World:
    world = await start_world(reuse_revokes_family=True)
    world.open_store = lambda: RedisStore(address_of(server), world.clock)
    return world


async def test_a_lease_that_is_lost_makes_no_second_holder_of_a_token(shared: World, server: RedisServer) -> None:
    one, other = shared.replica(), shared.replica(store=shared.store())
    session = await one.session()
    shared.clock.time += HOUR
    shared.iam.faults.add(Fault(grant="refresh_token", delay=60, times=1))
    refreshing = asyncio.create_task(one.confirmed(session, seconds=60))
    await until(lambda: shared.asked["refresh_token"] == 1)
    server.ask("DEL", *server.ask("KEYS", "*:lease:*"))  # as after a partition longer than leases live
    assert await other.confirmed(session) == replace(
        session, state=SessionState.REFRESHING, fence=(await marked(other)).fence, marked_at=shared.clock.time
    ), "within grace, and the token is left alone"
    assert shared.asked["refresh_token"] == 1
    shared.iam.faults.clear()
    await refreshing
    assert shared.granted["refresh_token"] == 1
    assert (await marked(one)).state is SessionState.ACTIVE
    assert (await marked(one)).generation == session.generation


async def marked(replica: Replica) -> Session:
    (session,) = [replica.sessions.records.last(key) for key in replica.sessions.records._held]
    assert session is not None
    found = await replica.sessions.records.fetch(replica.sessions.key_of(session))
    assert found.session is not None
    return found.session


async def test_of_one_that_died_the_token_is_tried_when_all_is_over(shared: World) -> None:
    one, other = shared.replica(), shared.replica(store=shared.store())
    session = await one.session()
    shared.clock.time += 7 * HOUR  # out of grace
    key = one.sessions.key_of(session)
    held = await one.sessions.records.fetch(key)
    mark = replace(session, state=SessionState.REFRESHING, fence=1, marked_at=shared.clock.time)
    await one.sessions.records.save(key, mark, held.version)
    with pytest.raises(OverloadedError, match="has died over it"):
        await other.confirmed(session)
    assert shared.asked["refresh_token"] == 0
    shared.clock.time += LEASE_SECONDS
    assert (await other.confirmed(session)).generation == session.generation
    assert shared.granted["refresh_token"] == 1


async def test_a_lost_answer_is_tried_again_at_once(shared: World) -> None:
    one, other = shared.replica(), shared.replica(store=shared.store())
    session = await one.session()
    shared.clock.time += 7 * HOUR  # out of grace
    shared.iam.faults.add(Fault(grant="refresh_token", reset=True, late=True, times=1))
    with pytest.raises(UpstreamUnavailableError):
        await one.confirmed(session)
    with pytest.raises(SessionLostError):
        await other.confirmed(session)


async def test_who_was_revoked_stays_so_when_redis_forgets(shared: World, server: RedisServer) -> None:
    replica = shared.replica()
    identity = await replica.identity(shared.token())
    await replica.revocations.revoke_identity(revocation(identity, shared.clock.time))
    server.ask("FLUSHALL")
    replica.revocations._read_at -= 5.0
    with pytest.raises(SubjectRevokedError):
        await replica.issue()
    newcomer = shared.replica(store=shared.store())
    with pytest.raises(SubjectRevokedError):
        await newcomer.issue()
