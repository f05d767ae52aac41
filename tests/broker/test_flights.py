"""Single flight, where it begins and ends."""

import asyncio

import pytest

from ttscache.broker.flights import Flights, LeaderError, on_own_account
from ttscache.errors import ScopeRefusedError
from ttscache.net.deadline import Deadline


async def refused() -> None:
    raise LeaderError("somebody", ScopeRefusedError("not this one"))


async def test_who_comes_as_one_ends_begins_another() -> None:
    """The event loop tells of an end in its next turn; who comes before that must not have the failure for his own."""
    flights = Flights("session")
    flights.start("key", refused)
    await asyncio.sleep(0)  # it ends in this turn of the loop
    assert not flights.is_under_way("key")
    _, is_ours = flights.start("key", refused)
    assert is_ours
    await flights.drain()


async def test_many_who_fail_one_after_the_other() -> None:
    flights = Flights("session")
    begun = 0

    async def one(number: int) -> None:
        async def work() -> None:
            nonlocal begun
            begun += 1
            await asyncio.sleep(0)
            raise LeaderError(number, ScopeRefusedError("not this one"))

        await asyncio.sleep(0) if number % 2 else None
        with pytest.raises(ScopeRefusedError):
            await on_own_account(number, lambda: flights.join("key", work, Deadline.after(10)))

    await asyncio.gather(*(one(number) for number in range(100)))
    assert begun == 100
