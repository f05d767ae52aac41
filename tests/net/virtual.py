"""An event loop whose time jumps to the next thing that is to happen: minutes of backoff pass at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from ttscache.net import circuit, deadline

_Result = TypeVar("_Result")


class _Jumping(selectors.DefaultSelector):
    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for something that will not happen"
            self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock, and no other, is the one of the rooms under test while it is :meth:`install`-ed."""

    def __init__(self) -> None:
        self.clock = _Jumping()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds

    def install(self, patch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(monotonic=self.time)
        patch.setattr(circuit, "time", clock)
        patch.setattr(deadline, "time", clock)


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in virtual time."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        loop.install(patch)
        return runner.run(work)
