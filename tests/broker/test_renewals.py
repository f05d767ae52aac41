"""Renewal behind: the most urgent first, a few at a time, and nothing that nobody asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.broker.world import DAY, HOUR, POLICY, Clock, Setup, World
from ttscache.broker.renewals import Renewals
from ttscache.sandbox.iam import Fault

PAST_SOFT = 0.56 * 43200


@pytest.fixture
def clock() -> Clock:
    return Clock()


def noting(done: list[str], name: str, gate: asyncio.Event | None = None) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        done.append(name)
        if gate is not None:
            await gate.wait()

    return work


async def test_the_most_urgent_first_and_not_before_it_is_due(clock: Clock) -> None:
    renewals, done = Renewals(clock, places=1), list[str]()
    for name, at, until in (("late", 10, 300), ("soon", 10, 100), ("middle", 20, 200), ("not yet", 30, 40)):
        renewals.plan(name, at=clock.time + at, until=clock.time + until, work=noting(done, name))
    renewals.tick()
    await renewals.settle()
    assert done == []
    clock.time += 20
    renewals.tick()
    await renewals.settle()
    assert done == ["soon", "middle", "late"]
    assert renewals.planned == 1


async def test_a_few_at_a_time(clock: Clock) -> None:
    renewals, done, gate = Renewals(clock, places=4), list[str](), asyncio.Event()
    for number in range(100):
        renewals.plan(number, at=clock.time, until=clock.time + number, work=noting(done, str(number), gate))
    renewals.tick()
    await asyncio.sleep(0)
    assert done == ["0", "1", "2", "3"]
    gate.set()
    await renewals.settle()
    assert done == [str(number) for number in range(100)]


async def test_a_plan_replaces_the_one_before_and_hastening_is_done_once(clock: Clock) -> None:
    renewals, done, gate = Renewals(clock, places=1), list[str](), asyncio.Event()
    renewals.plan("a", at=clock.time + 100, until=clock.time + 200, work=noting(done, "first", gate))
    for _ in range(10):
        renewals.hasten("a", until=clock.time + 200, work=noting(done, "hastened", gate))
        await asyncio.sleep(0)
    gate.set()
    await renewals.settle()
    clock.time += 1000
    renewals.tick()
    await renewals.settle()
    assert done == ["hastened"]
    assert renewals.planned == 0


async def test_plans_that_are_replaced_leave_nothing_behind(clock: Clock) -> None:
    renewals = Renewals(clock)
    for turn in range(200):
        for key in range(100):
            renewals.plan(key, at=clock.time + 1000 + turn, until=clock.time + 2000, work=noting([], ""))
    assert renewals.planned == 100
    assert len(renewals._coming) <= 1_300


async def test_a_failure_ends_nobody_else(clock: Clock) -> None:
    renewals, done = Renewals(clock, places=1), list[str]()

    async def failing() -> None:
        raise ValueError("planted")

    renewals.plan("a", at=clock.time, until=clock.time + 1, work=failing)
    renewals.plan("b", at=clock.time, until=clock.time + 2, work=noting(done, "b"))
    renewals.tick()
    await renewals.settle()
    assert done == ["b"]


async def test_at_the_end_nothing_more_is_begun(clock: Clock) -> None:
    renewals, done, gate = Renewals(clock, places=1), list[str](), asyncio.Event()
    for name in "ab":
        renewals.plan(name, at=clock.time, until=clock.time + 1, work=noting(done, name, gate))
    renewals.tick()
    await asyncio.sleep(0)
    gate.set()
    await renewals.drain()
    assert done == ["a"]


async def test_a_credential_is_renewed_before_somebody_asks(world: World) -> None:
    replica = world.replica(Setup(policy=replace(POLICY, confirm=DAY, grace=DAY)))
    first = await replica.issue()
    world.clock.time += 0.44 * 43200
    await replica.behind()
    assert await replica.issue() == first
    world.clock.time += 0.12 * 43200
    await replica.behind()
    assert (await replica.issue()).serial != first.serial


async def test_nothing_is_renewed_that_nobody_asked_for_in_the_last_lifetime(world: World) -> None:
    replica = world.replica(Setup(policy=replace(POLICY, confirm=30 * DAY, grace=30 * DAY, idle=30 * DAY)))
    await replica.issue()
    for _ in range(10):
        world.clock.time += PAST_SOFT
        await replica.behind()
    ((key, kept),) = replica.broker._cache._entries.items()
    assert kept.cached.issued_at - kept.asked_at <= 43200
    assert ("credential", key) not in replica.renewals._plans


async def test_who_has_lost_his_group_is_not_renewed_though_nobody_looks(world: World) -> None:
    replica = world.replica(Setup(policy=replace(POLICY, confirm=HOUR, grace=DAY)))
    first, token = await replica.issue(), world.token()
    account = world.iam.state.accounts["jane"]
    account.user = replace(account.user, groups=("/atlas",))
    world.clock.time += HOUR
    assert await replica.issue(token) == first  # and so the session is confirmed, with the news
    await replica.behind()
    world.clock.time += PAST_SOFT - HOUR
    await replica.behind()
    (kept,) = replica.broker._cache._entries.values()
    assert kept.cached.credential == first


async def test_a_session_in_use_is_confirmed_before_anybody_waits_for_it(world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += 0.96 * HOUR
    await replica.behind()
    assert world.granted["refresh_token"] == 1
    confirmed = await replica.session()
    assert (confirmed.generation, confirmed.confirmed_at) == (session.generation, world.clock.time)
    # and again, as long as somebody asks
    world.clock.time += 0.96 * HOUR
    await replica.behind()
    assert world.granted["refresh_token"] == 2
    for _ in range(5):
        world.clock.time += 0.96 * HOUR
        await replica.behind()
    assert world.granted["refresh_token"] <= 3


async def test_a_herd_after_a_restart_is_spread(world: World) -> None:
    """Sessions that are due all at once are refreshed a few at a time, while all are answered."""
    before = world.replica()
    for username in ("jane", "joe", "admin"):
        await before.issue(world.token(username))
    await before.close()
    world.replicas.clear()
    world.clock.time += 2 * HOUR
    after = world.replica()
    after.renewals._places = 1
    world.iam.faults.add(Fault(grant="refresh_token", delay=60))
    for username in ("jane", "joe", "admin"):
        await after.issue(world.token(username))
    await asyncio.sleep(0.05)
    assert world.asked["refresh_token"] <= 1
    world.iam.faults.clear()
    await after.renewals.settle()
    assert world.granted["refresh_token"] == 3
