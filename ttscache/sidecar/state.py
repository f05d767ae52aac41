"""What is kept, and how it is: for the agent's decisions, for the status file and for probes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from ttscache.sidecar.log import rfc3339
from ttscache.sidecar.order import Item, Known, Outcome, State
from ttscache.sidecar.schedule import Plan, pause

# who removes a file again and again must not have one issued each time
_SETTLED_SECONDS = 5.0


@dataclass(frozen=True)
class Kept:
    """One item with what became of it last, when it is looked at next, and how often it failed in a row."""

    item: Item
    plan: Plan
    outcome: Outcome | None = None
    failures: int = 0
    renewals: int = 0

    def after(self, outcome: Outcome, now: float, monotonic: float) -> Kept:
        """Return it after another turn."""
        failures = self.failures + 1 if outcome.state is State.FAILED else 0
        plan = Plan.after(pause(outcome, failures, now), now, monotonic)
        renewals = self.renewals + (outcome.state is State.RENEWED)
        # once something good has been seen there, a new one is asked for
        good = outcome.state in {State.RENEWED, State.KEPT}
        item = replace(self.item, due=self.item.due or good, known=_known(outcome))
        return replace(self, item=item, outcome=outcome, failures=failures, plan=plan, renewals=renewals)

    def at_once(self, now: float, monotonic: float) -> Kept:
        """Return it to be looked at now."""
        return replace(self, plan=Plan(now, monotonic))

    def has_failed(self) -> bool:
        """Tell whether the last turn failed."""
        return self.outcome is not None and self.outcome.state is State.FAILED

    def is_present(self, now: float) -> bool:
        """Tell whether what is to be there is there and has not ended."""
        outcome = self.outcome
        if outcome is None or outcome.state is State.REMOVED or not self._path_is_there():
            return False
        if outcome.not_after is not None:
            return now < outcome.not_after
        return outcome.written_at is not None

    def is_missing(self, now: float) -> bool:
        """Tell whether somebody else has removed what was there; not of what was written just now, again and again."""
        outcome = self.outcome
        if outcome is None or outcome.state not in {State.RENEWED, State.KEPT}:
            return False
        is_new = outcome.written_at is not None and 0 <= now - outcome.written_at < _SETTLED_SECONDS
        return not is_new and not self._path_is_there()

    def has_left(self, seconds: float, now: float) -> bool:
        """Tell whether it is there and lives for so long."""
        end = None if self.outcome is None else self.outcome.not_after
        return self.is_present(now) and (end is None or end - now >= seconds)

    def described(self, now: float) -> dict[str, object]:
        """Return how it is, for people and probes; there is no secret in it."""
        outcome = self.outcome
        return {
            "kind": self.item.kind.value,
            "path": str(self.item.path),
            "present": self.is_present(now),
            "state": None if outcome is None else outcome.state.value,
            "written_at": None if outcome is None else rfc3339(outcome.written_at),
            "not_after": None if outcome is None else rfc3339(outcome.not_after),
            "next_at": rfc3339(self.plan.at),
            "failures": self.failures,
            "renewals": self.renewals,
            "code": None if outcome is None else outcome.code,
            "message": None if outcome is None else outcome.message,
        }

    def _path_is_there(self) -> bool:
        with contextlib.suppress(OSError):  # a directory that we may not look into any more
            return self.item.path.exists()
        return False


def _known(outcome: Outcome) -> Known | None:
    if outcome.identity is None or outcome.written_at is None or outcome.not_after is None:
        return None
    return Known(outcome.identity, outcome.written_at, outcome.not_after)
