import asyncio

import pytest

from tests.net import virtual
from ttscache.net.deadline import Deadline
from ttscache.net.renewal import Renewal


class Work:
    """Work that takes its time, as its deadline allows."""

    def __init__(self, seconds: float = 3.0) -> None:
        self.seconds = seconds
        self.started = self.ended = 0

    async def __call__(self, deadline: Deadline) -> None:
        self.started += 1
        await asyncio.sleep(min(self.seconds, deadline.remaining))
        self.ended += 1


def test_many_join_one() -> None:
    async def scenario() -> None:
        work = Work()
        renewal = Renewal(work, 10.0)
        await asyncio.gather(*(renewal.join(Deadline.after(5.0)) for _ in range(100)))
        assert (work.started, work.ended, renewal.under_way) == (1, 1, False)
        await renewal.join(Deadline.after(5.0))
        assert work.started == 2

    virtual.run(scenario())


def test_who_has_no_time_or_goes_away_leaves_the_work_to_the_others() -> None:
    async def scenario() -> None:
        work = Work()
        renewal = Renewal(work, 10.0)
        leaving = asyncio.create_task(renewal.join(Deadline.after(5.0)))
        staying = asyncio.create_task(renewal.join(Deadline.after(5.0)))
        with pytest.raises(TimeoutError):
            await renewal.join(Deadline.after(1.0))
        leaving.cancel()
        await staying
        assert leaving.cancelled()
        assert (work.started, work.ended) == (1, 1)

    virtual.run(scenario())


def test_the_work_has_a_deadline_of_its_own() -> None:
    async def scenario() -> None:
        begun = asyncio.get_running_loop().time()
        await Renewal(Work(1000.0), 10.0).join(Deadline.after(60.0))
        assert asyncio.get_running_loop().time() - begun == pytest.approx(10.0)

    virtual.run(scenario())


def test_closing_ends_it_and_can_be_done_at_any_time() -> None:
    async def scenario() -> None:
        work = Work()
        renewal = Renewal(work, 10.0)
        await renewal.close()
        renewal.start()
        await asyncio.sleep(1.0)
        await renewal.close()
        assert (work.started, work.ended, renewal.under_way) == (1, 0, False)

    virtual.run(scenario())
