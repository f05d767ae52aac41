"""Standing sessions: opened by a token in a file or as the daemon's client, and closed as long as they must be."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.broker.world import DAY, HOUR, ISSUER, Replica, Setup, World
from ttscache.broker.readiness import Status
from ttscache.broker.revocations import Revocation
from ttscache.broker.standing import StandingSessions
from ttscache.config.settings import StandingSession
from ttscache.errors import ExchangeRefusedError, NotFoundError, SubjectRevokedError
from ttscache.net.deadline import Deadline


def standing(replica: Replica, token: Path | None) -> StandingSessions:
    configured = {"pilot": StandingSession("pilot", ISSUER, token)}
    verify = replica.verifier.verify
    return StandingSessions(configured, replica.exchanging, replica.sessions, replica.revocations, verify)


def deadline() -> Deadline:
    return Deadline.after(10)


def write(file: Path, content: str, mode: int = 0o600) -> None:
    file.write_text(content)
    file.chmod(mode)


def remove(file: Path) -> None:
    file.unlink()


@pytest.fixture
def token(world: World, tmp_path: Path) -> Path:
    file = tmp_path / "token"
    write(file, world.token() + "\n")
    return file


async def test_by_a_token_and_by_its_refresh_from_then_on(world: World, token: Path) -> None:
    replica = world.replica()
    sessions = standing(replica, token)
    identity, session = await sessions.current("pilot", deadline())
    assert (identity.session, identity.subject, session.name) == ("pilot", session.subject, "pilot")
    assert identity.groups == ("/cms", "/cms/production")
    remove(token)
    world.clock.time += HOUR
    await sessions._look_after("pilot")
    await replica.behind()
    assert world.granted == {"token_exchange": 1, "refresh_token": 1}
    assert (await sessions.current("pilot", deadline()))[1].generation == session.generation
    # it is not jane's own
    assert (await replica.session(world.token())).generation != session.generation


async def test_as_the_daemon_s_own_client(world: World) -> None:
    replica = world.replica(Setup(scopes=("wlcg", "offline_access")))
    sessions = standing(replica, None)
    identity, session = await sessions.current("pilot", deadline())
    assert (identity.subject, session.refresh_token) == ("ttscache", None)
    world.clock.time += 2 * HOUR
    await sessions._look_after("pilot")
    await replica.behind()
    assert world.granted == {"client_credentials": 2}
    assert (await sessions.current("pilot", deadline()))[1].generation == session.generation


async def test_refused_it_waits_for_another_token(world: World, token: Path) -> None:
    replica = world.replica()
    sessions = standing(replica, token)
    await sessions.current("pilot", deadline())
    world.iam.state.suspend("jane")
    world.clock.time += 2 * DAY
    await sessions._look_after("pilot")
    await replica.behind()
    await sessions._look_after("pilot")
    assert sessions.status() == {"pilot": Status.DOWN}
    write(token, world.token("joe"))
    replica.sessions._refusals._by_token.clear()  # as when seconds have passed
    identity, _ = await sessions.current("pilot", deadline())
    assert identity.subject == world.iam.config.user("joe").sub


async def test_tokens_that_open_nothing(world: World, token: Path) -> None:
    replica = world.replica()
    sessions = standing(replica, token)
    for content in ("", "no token", world.token()[:-8] + "AAAAAAAA"):
        write(token, content)
        replica.sessions._refusals._by_token.clear()
        with pytest.raises(ExchangeRefusedError, match="standing session 'pilot'"):
            await sessions.current("pilot", deadline())
    write(token, world.token(), mode=0o644)
    replica.sessions._refusals._by_token.clear()
    with pytest.raises(ExchangeRefusedError, match="cannot be read"):
        await sessions.current("pilot", deadline())
    with pytest.raises(NotFoundError):
        await sessions.current("nobody", deadline())
    assert world.asked == {}


async def test_revoked_it_stays_closed_until_it_is_opened(world: World, token: Path) -> None:
    replica = world.replica()
    sessions = standing(replica, token)
    _, session = await sessions.current("pilot", deadline())
    key = replica.sessions.key_of(session)
    revocation = Revocation(ISSUER, session.subject, world.clock.time, "the test", "", "pilot")
    await replica.revocations.revoke_session(key, revocation)
    await replica.sessions.revoke(key, "revoked")
    world.clock.time += HOUR
    write(token, world.token())
    with pytest.raises(SubjectRevokedError, match="session open pilot"):
        await sessions.current("pilot", deadline())
    assert (await sessions.open("pilot", deadline())).generation != session.generation


@pytest.mark.parametrize("by_client", [False, True])
async def test_nothing_is_opened_for_who_is_revoked(world: World, token: Path, *, by_client: bool) -> None:
    replica = world.replica(Setup(scopes=("wlcg", "offline_access")))
    sessions = standing(replica, None if by_client else token)
    _, session = await sessions.current("pilot", deadline())
    asked = dict(world.asked)
    revocation = Revocation(ISSUER, session.subject, world.clock.time, "the test", "")
    await replica.revocations.revoke_identity(replace(revocation))
    await replica.sessions.revoke(replica.sessions.key_of(session), "revoked")
    for _ in range(3):
        with pytest.raises(SubjectRevokedError):
            await sessions.current("pilot", deadline())
    assert dict(world.asked) == asked
