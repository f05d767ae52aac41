"""The worker: a process that lives for one turn, so that keys, TLS and certificates weigh on nobody afterwards.

It reads an order from its standard input, and writes the outcome of each item to its standard output, a line each.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module

from ttscache.client import ClientError, TokenSourceError
from ttscache.sidecar.keeping import Present, remembered
from ttscache.sidecar.order import Item, Kind, Order, Outcome, State
from ttscache.sidecar.place import Held, Place
from ttscache.sidecar.visit import Visit

_REVOKED = "subject_revoked"
_FAULT, _USAGE, _INVALID = 1, 2, 5
# names in it may be the daemon's; more than a pipe holds would never be read
_MAX_MESSAGE = 1000
# loaded when they are wanted: certificates are half of what a worker loads
_MODULES = {
    Kind.PROXY: "ttscache.sidecar.proxies",
    Kind.BEARER: "ttscache.sidecar.tokens",
    Kind.IDTOKEN: "ttscache.sidecar.tokens",
}


def main() -> None:
    """Carry out the order on standard input."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # there are keys in this memory
    for outcome in outcomes(Order.from_json(sys.stdin.read())):
        print(outcome.to_json(), flush=True)  # noqa: T201 - what is read there


def outcomes(order: Order) -> Iterator[Outcome]:
    """Carry out an order; go through what became of each item. Nothing is raised."""
    visit = Visit(order)
    for item in order.items:
        if item.kind in _MODULES:
            yield _credential(visit, order, item)
        else:
            yield _directory(visit, item)


def _credential(visit: Visit, order: Order, item: Item) -> Outcome:
    module = import_module(_MODULES[item.kind])
    try:
        with Place(item.path.parent, order.mode, order.owner) as place:
            place.sweep(item.path.name)

            def renew() -> Outcome:
                try:
                    place.require_room()
                except OSError:
                    visit.whoami()  # nothing is issued, but who is revoked must hear of it
                    raise
                renewed: Outcome = module.renew(visit, item, place, order.min_left)
                return renewed

            outcome = _told(renew)
            if outcome.code == _REVOKED:
                place.remove(item.path.name)
                return _with(outcome, State.REMOVED, None)
            if outcome.state is State.FAILED:
                held = place.read(item.path.name)
                standing: Callable[[Held | None], Present | None] = module.standing
                present = standing(held) if held is not None else remembered(place, item, time.time())
                return _with(outcome, State.FAILED, present)
            return outcome
    except OSError as error:
        return _failure(error)


def _directory(visit: Visit, item: Item) -> Outcome:
    module = import_module("ttscache.sidecar.anchors")
    outcome = _told(lambda: module.renew(visit, item))
    if outcome.state is State.FAILED:
        with contextlib.suppress(OSError):
            return replace(outcome, written_at=module.standing(item.path))
    return outcome


def _told(renew: Callable[[], Outcome]) -> Outcome:
    try:
        return renew()
    except Exception as error:  # noqa: BLE001 - a line whatever it is: a traceback may hold a secret
        return _failure(error)


def _failure(error: Exception) -> Outcome:
    """Return what is told of an error, on one line, with the exit status that it has on the command line."""
    code = getattr(error, "code", None)
    if isinstance(error, ClientError):
        return _failed(error.code, str(error), error.exit_status, error.retry_after)
    if isinstance(error, TokenSourceError):
        return _failed("token_unreadable", str(error), _USAGE)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _failed("file_failed", f"{where}{error.strerror or type(error).__name__}", _FAULT)
    if isinstance(code, str):  # of this package's or of proxy_gen's
        return _failed(code, str(error), _INVALID)
    return _failed("internal", f"{type(error).__name__}; please report it", _FAULT)


def _failed(code: str, message: str, exit_status: int, retry_after: float | None = None) -> Outcome:
    plain = "".join(c if c.isprintable() else " " for c in message[:_MAX_MESSAGE])
    return Outcome(State.FAILED, code=code, message=plain, exit_status=exit_status, retry_after=retry_after)


def _with(outcome: Outcome, state: State, present: Present | None) -> Outcome:
    """Return a failure with what is there all the same."""
    if present is None:
        return replace(outcome, state=state)
    return replace(
        outcome,
        state=state,
        written_at=present.written_at,
        not_after=present.not_after,
        identity=present.identity,
    )


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the agent is gone
        main()
