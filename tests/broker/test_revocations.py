"""Who is refused, in all replicas, and for how long that is relied on unread."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.broker.world import DAY, HOUR, ISSUER, Replica, Setup, World, csr
from ttscache.broker.keys import REVOCATIONS
from ttscache.broker.revocations import Revocation, RevokedCertificate
from ttscache.errors import RequestInvalidError, StoreUnavailableError, SubjectRevokedError
from ttscache.model import Identity


def revocation(identity: Identity, at: float) -> Revocation:
    return Revocation(identity.issuer, identity.subject, at, "the test", "why")


def hears(replica: Replica) -> None:
    """As if a second had passed since it read."""
    replica.revocations._read_at -= 1.0


async def revoked(world: World, replica: Replica, username: str = "jane") -> Identity:
    identity = await replica.identity(world.token(username))
    await replica.revocations.revoke_identity(revocation(identity, world.clock.time))
    return identity


async def test_an_identity_is_refused_until_it_is_restored(world: World) -> None:
    one, other = world.replica(), world.replica(store=world.store())
    first = await one.issue()
    assert await other.issue() == first
    identity = await revoked(world, one)
    hears(other)
    for replica in (one, other):
        for ask in ({}, {"csr": csr()}, {"lifetime": 3600}):
            with pytest.raises(SubjectRevokedError, match="restore"):
                await replica.issue(**ask)
    assert (await other.issue(world.token("joe"))).profile == "pilot"
    world.clock.time += 30 * DAY
    with pytest.raises(SubjectRevokedError):
        await one.issue(world.token())
    assert [each.reason for each in await other.revocations.identities()] == ["why"]
    assert await one.revocations.restore_identity(identity.issuer, identity.subject)
    assert not await one.revocations.restore_identity(identity.issuer, identity.subject)
    assert (await one.issue(world.token())).profile == "pilot"


async def test_a_session_s_tokens_from_before_are_refused(world: World) -> None:
    replica = world.replica()
    old = world.token()
    identity = await replica.identity(old)
    key = replica.exchanging[ISSUER].session_key(identity)
    session = await replica.session(old)
    world.clock.time += 10
    await replica.revocations.revoke_session(key, revocation(identity, world.clock.time))
    await replica.sessions.revoke(key, "revoked")
    with pytest.raises(SubjectRevokedError, match="obtain a new token"):
        await replica.issue(old)
    same_second = world.token()
    with pytest.raises(SubjectRevokedError):
        await replica.issue(same_second)
    world.clock.time += 1
    new = world.token()
    assert (await replica.issue(new)).profile == "pilot"
    assert (await replica.session(new)).generation != session.generation
    with pytest.raises(SubjectRevokedError):
        await replica.issue(old)


async def test_a_revoked_certificate_is_not_served_from(world: World) -> None:
    one, other = world.replica(), world.replica(store=world.store())
    first = await one.issue()
    assert await other.issue() == first
    at = world.clock.time
    await one.revocations.revoke_certificates([RevokedCertificate(first.eec_serial, first.issuer, at, at + DAY)])
    hears(other)
    second = await one.issue()
    assert second.eec_serial != first.eec_serial
    assert await other.issue() == second
    told = await one.published()
    assert told.crl_der is not None
    world.clock.time += 2 * DAY
    await one.revocations.revoke_certificates([RevokedCertificate(1, first.issuer, at, at + 9 * DAY)])
    assert not one.revocations.is_revoked(first.eec_serial), "it has ended"


async def test_while_the_store_cannot_be_read_it_is_relied_on_for_a_while(world: World) -> None:
    replica = world.replica(Setup(stale_for=30.0))
    await revoked(world, replica, "joe")
    first = await replica.issue()
    await replica.store.close()
    for age in (1.0, 29.0):
        replica.revocations._read_at = time.monotonic() - age
        assert await replica.issue() == first
        with pytest.raises(SubjectRevokedError):
            await replica.issue(world.token("joe"))
    replica.revocations._read_at = time.monotonic() - 31.0
    with pytest.raises(StoreUnavailableError):
        await replica.issue()
    with pytest.raises(StoreUnavailableError):
        await replica.revocations.identities()


async def test_two_who_revoke_at_once_lose_nothing(world: World) -> None:
    replicas = [world.replica(store=world.store()) for _ in range(3)]
    identity = await replicas[0].identity(world.token())
    several = [replace(identity, subject=f"s{number}") for number in range(30)]
    await asyncio.gather(
        *(
            replicas[number % 3].revocations.revoke_identity(revocation(each, world.clock.time))
            for number, each in enumerate(several)
        )
    )
    assert {each.subject for each in await replicas[0].revocations.identities()} == {each.subject for each in several}


async def test_there_is_an_end_to_what_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscache.broker.revocations._MAX_ENTRIES", 2)
    replica = world.replica()
    for username in ("jane", "joe"):
        await revoked(world, replica, username)
    with pytest.raises(RequestInvalidError, match="restore identities first"):
        await revoked(world, replica, "admin")
    record = await replica.store.get(REVOCATIONS)
    assert record is not None


async def test_revoking_ends_a_session_whose_refresh_is_under_way(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    key = replica.sessions.key_of(session)
    refreshing = asyncio.create_task(replica.confirmed(session))
    await asyncio.sleep(0)
    assert await replica.sessions.revoke(key, "revoked") is not None
    outcome = (await asyncio.gather(refreshing, return_exceptions=True))[0]
    assert isinstance(outcome, BaseException) or outcome.generation == session.generation
    ended = await replica.sessions.records.fetch(key)
    assert ended.session is not None
    assert ended.session.end_reason == "revoked"
    assert ended.session.refresh_token is None
