"""The circuit against a model of it, whatever happens in whatever order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.net.virtual import VirtualLoop
from ttscache.net.circuit import Circuit, CircuitOpenError, UpstreamFailedError
from ttscache.net.deadline import Deadline


class RefusedError(Exception):
    """A proper answer of the upstream's."""


class CircuitMachine(RuleBasedStateMachine):
    """Knows from how many failures there were since when the circuit must let a call through, and when not."""

    @initialize()
    def start(self) -> None:
        self.loop = VirtualLoop()
        self.patch = pytest.MonkeyPatch()
        self.loop.install(self.patch)
        self.circuit = Circuit()
        self.failures = 0
        self.earliest = self.latest = 0.0  # between these the circuit lets the next probe through

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.patch.undo()
            self.loop.close()

    async def _call(self, outcome: BaseException | None, patience: float) -> float:
        async with self.circuit.call(Deadline.after(patience)):
            moment = self.loop.time()
            if outcome is not None:
                raise outcome
        return moment

    def _attempt(self, outcome: BaseException | None, patience: float) -> bool:
        """Call, and tell whether the upstream was reached; that it could be is checked against the model."""
        called = self.loop.time()
        raised: BaseException | None = None
        try:
            self.loop.run_until_complete(self._call(outcome, patience))
        except (CircuitOpenError, UpstreamFailedError, RefusedError, asyncio.CancelledError) as error:
            raised = error
        if isinstance(raised, CircuitOpenError):
            assert self.failures
            assert called + min(patience, 2.0) < self.latest
            assert raised.retry_after > 0
            return False
        assert raised is outcome
        assert self.failures == 0 or self.loop.time() >= self.earliest
        assert self.loop.time() - called <= min(patience, 2.0) + 1e-6
        return True

    @rule(refused=st.booleans(), patience=st.sampled_from([0.01, 0.2, 1.0, 15.0]))
    def answered(self, refused: bool, patience: float) -> None:  # noqa: FBT001 - Hypothesis passes by name
        if self._attempt(RefusedError() if refused else None, patience):
            self.failures = 0

    @rule(patience=st.sampled_from([0.01, 0.2, 1.0, 15.0]), retry_after=st.sampled_from([None, 0.0, 0.1, 7.0, 300.0]))
    def failed(self, patience: float, retry_after: float | None) -> None:
        if self._attempt(UpstreamFailedError(retry_after), patience):
            self.failures += 1
            longest = min(4.0, 0.25 * 2 ** (self.failures - 1))
            asked = retry_after or 0.0
            self.earliest = self.loop.time() + max(asked, longest / 2)
            self.latest = self.loop.time() + max(asked, longest)

    @rule(patience=st.sampled_from([0.2, 15.0]))
    def cancelled(self, patience: float) -> None:
        self._attempt(asyncio.CancelledError(), patience)

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 10.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @invariant()
    def at_rest(self) -> None:
        if hasattr(self, "circuit"):
            assert self.circuit.closed == (self.failures == 0)
            assert not self.circuit._probe.locked()
            if self.loop.time() >= self.latest:
                assert self.circuit.worth_trying


TestCircuit = CircuitMachine.TestCase
TestCircuit.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
