"""Places and a queue, both bounded."""

import asyncio

import pytest

from ttscache.errors import OverloadedError
from ttscache.net.bulkhead import Bulkhead
from ttscache.net.deadline import Deadline


async def held(bulkhead: Bulkhead, gate: asyncio.Event, running: list[int], number: int) -> None:
    async with bulkhead.place(Deadline.after(10)):
        running.append(number)
        await gate.wait()


async def test_so_many_at_once_and_in_their_order() -> None:
    bulkhead, gate, running = Bulkhead(2, 10), asyncio.Event(), list[int]()
    tasks = [asyncio.create_task(held(bulkhead, gate, running, number)) for number in range(5)]
    await asyncio.sleep(0)
    assert (running, bulkhead.waiting) == ([0, 1], 3)
    gate.set()
    await asyncio.gather(*tasks)
    assert (running, bulkhead.waiting) == ([0, 1, 2, 3, 4], 0)


async def test_a_full_queue_says_so_at_once() -> None:
    bulkhead, gate = Bulkhead(1, 1, retry_after=7.0), asyncio.Event()
    tasks = [asyncio.create_task(held(bulkhead, gate, [], number)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError) as refused:
        await held(bulkhead, gate, [], 2)
    assert refused.value.retry_after == 7.0
    gate.set()
    await asyncio.gather(*tasks)


async def test_who_is_out_of_time_or_goes_away_leaves_no_gap() -> None:
    bulkhead, gate, running = Bulkhead(1, 5), asyncio.Event(), list[int]()
    first = asyncio.create_task(held(bulkhead, gate, running, 0))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        async with bulkhead.place(Deadline.after(0.01)):
            pass
    leaving = asyncio.create_task(held(bulkhead, gate, running, 1))
    staying = asyncio.create_task(held(bulkhead, gate, running, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.set()
    await asyncio.gather(first, staying)
    assert (running, bulkhead.waiting) == ([0, 2], 0)
