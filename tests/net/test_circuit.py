"""The circuit in virtual time: an upstream that is down, slow, back, and callers of all kinds."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.net import virtual
from ttscache.net.circuit import Circuit, CircuitOpenError, UpstreamFailedError
from ttscache.net.deadline import Deadline


class Upstream:
    """What stands behind the circuit: it takes its time, and then fails or answers."""

    def __init__(self) -> None:
        self.circuit = Circuit()
        self.down = True
        self.seconds = 0.0
        self.retry_after: float | None = None
        self.calls: list[float] = []
        self.at_once = self.most_at_once = 0

    async def call(self, patience: float = 15.0) -> None:
        async with self.circuit.call(Deadline.after(patience)):
            await self._serve()

    async def _serve(self) -> None:
        self.calls.append(asyncio.get_running_loop().time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            if self.down:
                raise UpstreamFailedError(self.retry_after)
        finally:
            self.at_once -= 1

    async def fail(self, times: int = 1) -> None:
        """Fail so many times in a row, each as soon as it may be tried."""
        for _ in range(times):
            while not self.circuit.worth_trying:  # noqa: ASYNC110 - in virtual time
                await asyncio.sleep(0.01)
            with pytest.raises(UpstreamFailedError):
                await self.call()

    async def crowd(self, count: int, patience: float = 15.0) -> list[BaseException | None]:
        return await asyncio.gather(*(self.call(patience) for _ in range(count)), return_exceptions=True)

    def forget_calls(self) -> None:
        self.calls.clear()
        self.most_at_once = 0


def test_closed_it_lets_all_through_at_once() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.down, upstream.seconds = False, 1.0
        assert await upstream.crowd(50) == [None] * 50
        assert upstream.most_at_once == 50

    virtual.run(scenario())


def test_open_a_crowd_sends_one_probe_and_follows_when_it_is_answered() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        await upstream.fail()
        upstream.forget_calls()
        upstream.down, upstream.seconds = False, 1.0
        assert await upstream.crowd(100) == [None] * 100
        first, *others = upstream.calls
        # nobody else came before the probe had its answer, and all the others came then
        assert all(later >= first + 1.0 for later in others)
        assert upstream.most_at_once == 99
        assert upstream.circuit.closed

    virtual.run(scenario())


def test_while_a_slow_probe_is_out_nobody_waits_for_it_long() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        await upstream.fail()
        upstream.forget_calls()
        upstream.seconds = 20.0
        probe = asyncio.create_task(upstream.call(40.0))
        await asyncio.sleep(1.0)
        begun = asyncio.get_running_loop().time()
        assert {type(outcome) for outcome in await upstream.crowd(100)} == {CircuitOpenError}
        assert asyncio.get_running_loop().time() - begun <= 2.01
        assert len(upstream.calls) == 1
        with pytest.raises(UpstreamFailedError):
            await probe

    virtual.run(scenario())


def test_callers_wait_no_longer_than_their_deadline() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        await upstream.fail()
        upstream.seconds = 20.0
        probe = asyncio.create_task(upstream.call(40.0))
        await asyncio.sleep(1.0)
        begun = asyncio.get_running_loop().time()
        with pytest.raises(CircuitOpenError) as refused:
            await upstream.call(0.1)
        assert asyncio.get_running_loop().time() - begun == pytest.approx(0.1)
        assert refused.value.retry_after >= 1.0
        probe.cancel()

    virtual.run(scenario())


def test_an_upstream_that_stays_down_is_probed_one_at_a_time_and_ever_more_seldom() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        await upstream.fail()
        upstream.forget_calls()
        crowds = []
        for _ in range(600):  # a minute of ten callers every tenth of a second
            crowds.append(asyncio.create_task(upstream.crowd(10)))
            await asyncio.sleep(0.1)
        outcomes = {type(outcome) for crowd in crowds for outcome in await crowd}
        assert outcomes == {CircuitOpenError, UpstreamFailedError}
        gaps = [later - earlier for earlier, later in pairwise(upstream.calls)]
        assert upstream.most_at_once == 1
        assert all(2.0 <= gap <= 4.2 for gap in gaps[5:])
        assert len({round(gap, 6) for gap in gaps}) > len(gaps) / 2  # jittered

    virtual.run(scenario())


def test_an_upstream_that_is_back_is_in_use_within_seconds_and_then_as_ever() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        await upstream.fail(times=12)
        upstream.down = False
        back = asyncio.get_running_loop().time()
        while not upstream.circuit.closed:
            await asyncio.gather(upstream.crowd(5), asyncio.sleep(0.1))
        assert asyncio.get_running_loop().time() - back <= 4.2
        upstream.down = True
        await upstream.fail()
        with pytest.raises(UpstreamFailedError):  # the long history of failures is forgotten: the next try is near
            await upstream.call(0.3)

    virtual.run(scenario())


def test_what_the_upstream_asks_for_is_kept_to() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.retry_after = 30.0
        await upstream.fail()
        upstream.forget_calls()
        with pytest.raises(CircuitOpenError) as refused:
            await upstream.call()
        assert refused.value.retry_after == pytest.approx(30.0)
        await asyncio.sleep(28.5)
        upstream.down = False
        await upstream.call()  # near enough to wait for
        assert upstream.calls == [pytest.approx(1030.0)]

    virtual.run(scenario())


def test_an_upstream_that_asks_for_no_pause_gets_one_all_the_same() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.retry_after = 0.0
        await upstream.fail(times=5)
        gaps = [later - earlier for earlier, later in pairwise(upstream.calls)]
        assert all(gap >= 0.125 for gap in gaps)
        assert gaps[-1] >= 1.0

    virtual.run(scenario())


def test_calls_that_fail_together_count_as_one_failure() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.seconds = 1.0
        await upstream.crowd(50)
        upstream.seconds = 0.0
        with pytest.raises(UpstreamFailedError):
            await upstream.call(0.3)

    virtual.run(scenario())


def test_a_refusal_is_an_answer() -> None:
    async def scenario() -> None:
        circuit = Circuit()
        with pytest.raises(UpstreamFailedError):
            async with circuit.call(Deadline.after(1.0)):
                raise UpstreamFailedError
        assert not circuit.closed
        with pytest.raises(KeyError):
            async with circuit.call(Deadline.after(1.0)):
                raise KeyError
        assert circuit.closed

    virtual.run(scenario())


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3, 1.5])
def test_a_probing_caller_that_goes_away_leaves_the_place_to_the_next(moment: float) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        await upstream.fail()
        upstream.seconds = 2.0
        probing = asyncio.create_task(upstream.call())
        waiting = asyncio.create_task(upstream.call(5.0))
        await asyncio.sleep(moment)  # before it waits, while it waits for the backoff, while it probes
        probing.cancel()
        upstream.down = False
        await waiting
        assert upstream.circuit.closed
        assert probing.cancelled()

    virtual.run(scenario())


def test_waiting_callers_that_go_away_leave_no_trace() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        await upstream.fail()
        upstream.seconds, upstream.down = 1.0, False
        waiting = [asyncio.create_task(upstream.call()) for _ in range(20)]
        await asyncio.sleep(0.5)
        for task in waiting[1:]:
            task.cancel()
        await waiting[0]
        await upstream.call()
        assert upstream.circuit.closed

    virtual.run(scenario())
