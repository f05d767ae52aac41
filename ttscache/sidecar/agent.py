"""The agent: looks after files until it is told to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ttscache.sdnotify import READY, STOPPING, notify, status
from ttscache.sidecar.children import Command, Worker, reap_orphans
from ttscache.sidecar.door import Door
from ttscache.sidecar.log import log, rfc3339
from ttscache.sidecar.order import Item, Kind, Order, Outcome, State
from ttscache.sidecar.schedule import Plan
from ttscache.sidecar.signals import Signals
from ttscache.sidecar.state import Kept
from ttscache.sidecar.telling import Telling

# the wall clock is looked at so often: it may jump
_LONGEST_WAIT = 10.0
_UNREACHABLE = "unreachable"
_FAULT, _INVALID = 1, 5
_NO_URL = "url_invalid"
# of a failure that trying again does not mend
_LASTING = frozenset({2, 3})
_ENDED_BY_TERM = 128 + signal.SIGTERM  # as a shell tells it: the command was to run, and has not
_PASSED_ON = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
_VARIABLES = {
    Kind.PROXY: "X509_USER_PROXY",
    Kind.BEARER: "BEARER_TOKEN_FILE",
    Kind.TRUST: "X509_CERT_DIR",
    Kind.VOMSDIR: "X509_VOMS_DIR",
}


class Agent:
    """Keeps the items of an order, and stands beside a command if there is one."""

    def __init__(self, order: Order, telling: Telling, command: Sequence[str] = ()) -> None:
        now, monotonic = time.time(), time.monotonic()
        self._order = order
        self._telling = telling
        self._command = Command(command, variables(order.items)) if command else None
        self._kept = [Kept(item, Plan(now, monotonic)) for item in order.items]
        self._door = Door(order.url)
        self._worker: Worker | None = None
        self._at_work: list[int] = []
        self._announced = False
        self._everything = False

    def kept(self) -> Sequence[Kept]:
        """Return how everything is; it may be asked in another thread."""
        return tuple(self._kept)

    def once(self) -> int:
        """Look after everything once, and return the exit status: 0 when all is there with enough life."""
        with Signals() as signals:
            self._begin()
            while (self._worker is not None or self._telling.busy) and not signals.stopping:
                signals.wait(_LONGEST_WAIT)
                self._reap()
                self._telling.poll()
            self._end()
        now = time.time()
        lacking = [each.outcome for each in self._kept if not each.has_left(self._order.min_left, now)]
        return next((_FAULT if each is None else each.exit_status or _INVALID for each in lacking), 0)

    def run(self) -> int:
        """Look after everything until SIGTERM, or until the command has ended, whose exit status is returned then."""
        with Signals() as signals:
            try:
                self._step(signals)
                while (ended := self._ended(signals)) is None:
                    signals.wait(self._time_left())
                    self._step(signals)
                return ended
            finally:
                self._end()

    def _step(self, signals: Signals) -> None:
        for number in signals.taken():
            if self._command is not None and self._command.started and number in _PASSED_ON:
                self._command.send(number)
            elif number is signal.SIGHUP:
                self._everything = True
        self._reap()
        reap_orphans(
            None if self._worker is None else self._worker.pid,
            None if self._command is None else self._command.pid,
            self._telling.pid,
        )
        if self._door.knock():
            self._hasten(Kept.has_failed)
        now = time.time()
        self._hasten(lambda each: each.is_missing(now))
        self._begin()
        self._telling.poll()
        self._start_command()

    def _ended(self, signals: Signals) -> int | None:
        """Return the exit status, when it is time to end."""
        if self._command is not None and self._command.started:
            return self._command.poll()
        if signals.stopping:
            return 0 if self._command is None else _ENDED_BY_TERM
        outcomes = [each.outcome for each in self._kept if each.outcome is not None]
        if self._command is None:
            outcomes = [outcome for outcome in outcomes if outcome.code == _NO_URL]
        # it has not got what it needs, and waiting will not bring it
        return next((outcome.exit_status for outcome in outcomes if outcome.exit_status in _LASTING), None)

    def _begin(self) -> None:
        """Start a turn for what is due."""
        if self._worker is not None:
            return
        if self._everything:  # asked for during a turn, it is the next
            self._everything = False
            self._hasten(lambda _: True)
        now, monotonic = time.time(), time.monotonic()
        self._at_work = [i for i, each in enumerate(self._kept) if each.plan.is_due(now, monotonic)]
        if self._at_work:
            items = tuple(self._kept[i].item for i in self._at_work)
            try:
                self._worker = Worker(replace(self._order, items=items))
            except OSError as error:  # no memory, no process to be had
                failed = Outcome(State.FAILED, code="internal", message=f"no worker: {error.strerror}", exit_status=1)
                self._take([failed] * len(items))

    def _reap(self) -> None:
        """Take in what a turn has come to."""
        outcomes = None if self._worker is None else self._worker.poll()
        if outcomes is None:
            return
        self._worker = None
        self._take(outcomes)

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        now, monotonic = time.time(), time.monotonic()
        for index, outcome in zip(self._at_work, outcomes, strict=True):
            before = self._kept[index]
            self._kept[index] = before.after(outcome, now, monotonic)
            _log_change(before, self._kept[index])
        if any(outcome.code == _UNREACHABLE for outcome in outcomes):
            self._door.tried_in_vain()
        self._telling.of([self._kept[i] for i in self._at_work], self._kept)
        self._announce()

    def _announce(self) -> None:
        if not self._announced and self._all_present():
            self._announced = True
            notify(READY, status("all files are there"))
            log("ready")

    def _all_present(self) -> bool:
        now = time.time()
        return all(each.is_present(now) for each in self._kept)

    def _hasten(self, wanted: Callable[[Kept], bool]) -> None:
        now, monotonic = time.time(), time.monotonic()
        self._kept = [each.at_once(now, monotonic) if wanted(each) else each for each in self._kept]

    def _start_command(self) -> None:
        if self._command is not None and not self._command.started and self._all_present():
            self._command.start()

    def _time_left(self) -> float:
        if self._worker is not None:
            return _LONGEST_WAIT  # its end wakes us
        now, monotonic = time.time(), time.monotonic()
        return min([*(each.plan.left(now, monotonic) for each in self._kept), self._door.left(), _LONGEST_WAIT])

    def _end(self) -> None:
        notify(STOPPING)
        if self._worker is not None:
            self._worker.end()
        self._telling.end(self._kept)


def variables(items: Sequence[Item]) -> Mapping[str, str]:
    """Return the environment by which a command finds what is kept."""
    found = {_VARIABLES[item.kind]: str(item.path) for item in items if item.kind in _VARIABLES}
    for item in items:
        if item.kind is Kind.IDTOKEN:
            found["_CONDOR_SEC_TOKEN_DIRECTORY"] = str(item.path.parent)
    return found


def _log_change(before: Kept, after: Kept) -> None:
    """Tell of what changed, and of each new trouble; not of the same again and again."""
    outcome = after.outcome
    if outcome is None:
        return
    same = before.outcome is not None and (before.outcome.state, before.outcome.code) == (outcome.state, outcome.code)
    if same and outcome.state is not State.RENEWED:
        return
    log(
        outcome.state.value,
        kind=after.item.kind.value,
        path=str(after.item.path),
        not_after=rfc3339(outcome.not_after),
        code=outcome.code,
        message=outcome.message,
    )
