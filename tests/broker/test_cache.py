"""The cache of its own, where a test has to be inside the minting."""

import asyncio

import pytest

from tests.broker.world import HOUR, Clock, until
from ttscache.broker.cache import Cache, Wanted
from ttscache.broker.codec import PROXY
from ttscache.broker.renewals import Renewals
from ttscache.errors import OverloadedError
from ttscache.model import Credential
from ttscache.net.deadline import Deadline
from ttscache.store.memory import MemoryStore

WANTED = Wanted("credential/key", ("test", "jane"), 60)


class SlowMint:
    """Makes credentials of an hour; each is told only when the gate opens."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.gate = asyncio.Event()
        self.begun = 0

    async def __call__(self) -> Credential:
        self.begun += 1
        made = Credential(
            pem=b"", subject="", identity="", account=None, issuer="",
            not_before=self.clock.time - 300, not_after=self.clock.time + HOUR,
            fqans=(), serial=self.begun, eec_serial=1, profile="pilot", shortened_by=(),
        )  # fmt: skip
        await self.gate.wait()
        return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mint(clock: Clock) -> SlowMint:
    return SlowMint(clock)


@pytest.fixture
def renewals(clock: Clock) -> Renewals:
    return Renewals(clock)


@pytest.fixture
def cache(clock: Clock, renewals: Renewals) -> Cache[Credential]:
    return Cache(PROXY, MemoryStore(clock), clock, renewals)


@pytest.mark.parametrize("back", [0.0, 1.9 * HOUR, 1.0])
async def test_a_jump_while_it_is_made(cache: Cache[Credential], mint: SlowMint, clock: Clock, back: float) -> None:
    asked = [asyncio.create_task(cache.get(WANTED, mint, Deadline.after(5))) for _ in range(3)]
    await until(lambda: mint.begun == 1)
    clock.time += 2 * HOUR
    mint.gate.set()
    for task in asked:
        served = (await task).credential
        assert clock.time < served.not_after
    assert mint.begun == 2
    clock.time -= back
    served = (await cache.get(WANTED, mint, Deadline.after(5))).credential
    assert served.not_before <= clock.time < served.not_after


async def test_a_jump_while_a_renewal_is_under_way(cache: Cache[Credential], mint: SlowMint, clock: Clock) -> None:
    mint.gate.set()
    first = await cache.get(WANTED, mint, Deadline.after(5))
    mint.gate.clear()
    clock.time += 0.6 * HOUR
    assert await cache.get(WANTED, mint, Deadline.after(5)) == first
    await until(lambda: mint.begun == 2)
    clock.time += 2 * HOUR
    joined = asyncio.create_task(cache.get(WANTED, mint, Deadline.after(5)))
    await asyncio.sleep(0)
    mint.gate.set()
    assert clock.time < (await joined).credential.not_after
    await cache.drain()


async def test_the_deadline_holds_and_the_work_goes_on(cache: Cache[Credential], mint: SlowMint) -> None:
    with pytest.raises(OverloadedError):
        await cache.get(WANTED, mint, Deadline.after(0.01))
    mint.gate.set()
    assert (await cache.get(WANTED, mint, Deadline.after(5))).credential.serial == 1
