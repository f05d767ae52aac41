import asyncio

from tests.net import virtual
from ttscache.net.deadline import Deadline


def test_what_is_left_never_is_negative() -> None:
    async def scenario() -> None:
        deadline = Deadline.after(5.0)
        assert deadline.remaining == 5.0
        await asyncio.sleep(7.0)
        assert deadline.remaining == 0.0

    virtual.run(scenario())


def test_within_never_prolongs() -> None:
    async def scenario() -> None:
        deadline = Deadline.after(5.0)
        assert deadline.within(2.0).remaining == 2.0
        assert deadline.within(60.0) == deadline

    virtual.run(scenario())
