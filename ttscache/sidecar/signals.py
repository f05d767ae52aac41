"""Waiting for the next thing to happen: a signal, the end of a child, or a time."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType
from typing import Self

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})


class Signals:
    """Collects signals while it is entered, and wakes who waits.

    ``stopping`` is set by SIGTERM and SIGINT, ``received`` are all but SIGCHLD that nobody has taken yet.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.received: list[signal.Signals] = []

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._note) for number in _HANDLED}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, seconds: float) -> None:
        """Wait until something happens, or for so long."""
        if select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)

    def taken(self) -> list[signal.Signals]:
        """Return what was received since the last time."""
        received, self.received = self.received, []
        return received

    def _note(self, number: int, _: FrameType | None) -> None:
        signal_number = signal.Signals(number)
        self.stopping = self.stopping or signal_number in _STOPPING
        if signal_number is not signal.SIGCHLD:
            self.received.append(signal_number)
