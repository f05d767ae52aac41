"""What one caller may cost."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_gen.keys import KeyKind, generate_key
from tests.broker.world import GENEROUS, Clock, Setup, World, csr
from ttscache.broker.limits import Allowances, RateLimiter
from ttscache.broker.reception import Asker
from ttscache.config.settings import Rate
from ttscache.errors import ExchangeRefusedError, RateLimitedError
from ttscache.model import CredentialRequest
from ttscache.net.deadline import Deadline

FEW = Rate(3, 60.0)


def test_a_burst_and_then_as_it_comes_back() -> None:
    clock = Clock()
    limiter = RateLimiter(FEW, clock)
    assert [limiter.charge("a") for _ in range(3)] == [None] * 3
    wait = limiter.charge("a")
    assert wait == pytest.approx(20.0)
    assert limiter.charge("b") is None, "others are not concerned"
    clock.time += 19.9
    assert limiter.charge("a") is not None
    clock.time += 0.1
    assert limiter.charge("a") is None
    clock.time += 3600
    assert [limiter.charge("a") is None for _ in range(4)] == [True, True, True, False]


@given(
    count=st.integers(1, 50),
    seconds=st.floats(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 100), st.sampled_from("ab")), max_size=200),
)
def test_never_more_than_the_burst_and_what_has_come_back(
    count: int, seconds: float, steps: list[tuple[float, str]]
) -> None:
    clock = Clock()
    began = clock.time
    limiter = RateLimiter(Rate(count, seconds), clock)
    allowed = dict.fromkeys("ab", 0)
    for pause, caller in steps:
        clock.time += pause
        wait = limiter.charge(caller)
        if wait is None:
            allowed[caller] += 1
        else:
            assert 0 < wait <= seconds / count * (1 + 1e-3)
        assert allowed[caller] <= count + (clock.time - began) * count / seconds + 1


async def test_one_identity_at_one_address(world: World) -> None:
    replica = world.replica(Setup(limits=replace(GENEROUS, identity=FEW)))
    for _ in range(2):  # and the session, which had to be opened
        await replica.issue(csr=csr())
    with pytest.raises(RateLimitedError) as refused:
        await replica.issue(csr=csr())
    assert refused.value.retry_after == 20
    assert (await replica.issue(world.token("joe"), csr=csr())).profile == "pilot"


async def test_what_is_cached_is_free(world: World) -> None:
    replica = world.replica(Setup(limits=replace(GENEROUS, identity=FEW)))
    first = await replica.issue()
    for _ in range(20):
        assert await replica.issue() == first


async def test_who_joins_a_flight_is_not_limited_with_its_leader(world: World) -> None:
    replica = world.replica(Setup(limits=replace(GENEROUS, identity=FEW)))
    token = world.token()
    asker = Asker(await replica.identity(token), token, "192.0.2.99")
    await replica.issue(token)
    for lifetime in (1000, 1001, 1002):
        with contextlib.suppress(RateLimitedError):
            await replica.issue(token, lifetime=lifetime)
    request, deadline = CredentialRequest(lifetime=3600), Deadline.after(10)
    leader, follower = await asyncio.gather(
        replica.issue(token, lifetime=3600), replica.broker.issue(asker, request, deadline), return_exceptions=True
    )
    assert isinstance(leader, RateLimitedError)
    assert not isinstance(follower, BaseException)


async def test_a_refused_token_is_not_shown_to_the_issuer_again_at_once(world: World) -> None:
    replica = world.replica()
    world.iam.state.suspend("jane")
    token = world.token()
    for _ in range(50):
        with pytest.raises(ExchangeRefusedError):
            await replica.issue(token)
    assert world.asked["token_exchange"] == 1
    outcomes = await asyncio.gather(*(replica.issue(world.token()) for _ in range(100)), return_exceptions=True)
    assert all(isinstance(outcome, ExchangeRefusedError | RateLimitedError) for outcome in outcomes)
    assert world.asked["token_exchange"] <= 101
    before = world.asked["token_exchange"]
    for _ in range(20):
        with pytest.raises((RateLimitedError, ExchangeRefusedError)):
            await replica.issue(world.token())
    assert world.asked["token_exchange"] - before <= 10


async def test_one_key_over_and_over(world: World) -> None:
    replica = world.replica(Setup(limits=replace(GENEROUS, duplicates=FEW)))
    same = generate_key(KeyKind.P_256)
    for _ in range(3):
        await replica.issue(csr=csr(key=same))
    with pytest.raises(RateLimitedError, match="one and the same public key"):
        await replica.issue(csr=csr(key=same))
    # another key, another profile, another identity
    await replica.issue(csr=csr())
    await replica.issue(csr=csr(key=same), profile="limited")
    await replica.issue(world.token("joe"), csr=csr(key=same))


def test_verifications_by_address() -> None:
    allowances = Allowances(replace(GENEROUS, address=FEW), Clock())
    for _ in range(3):
        allowances.verification("192.0.2.1")
    with pytest.raises(RateLimitedError, match="this address"):
        allowances.verification("192.0.2.1")
    allowances.verification("192.0.2.2")


def test_memory_is_bounded() -> None:
    limiter = RateLimiter(FEW, Clock())
    for caller in range(30_000):
        limiter.charge(caller)
    assert len(limiter._full_at) == 10_000
