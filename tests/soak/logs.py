"""The replicas' logs: every line is JSON, tells no secret and no fault of the daemon's own; some are kept."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.soak.world import World

_KEPT = frozenset({"session_opened", "session_ended", "credential_issued", "idtoken_issued", "renewal_failed"})
_FAULTS = frozenset({"request_failed", "Unhandled exception", "Task exception was never retrieved"})
# a store that was away for so long excuses it
_NOT_SAVED, _AWAY_SECONDS = "refresh_token_not_saved", 25.0
# who goes away in the middle of an answer is called a fault in these words, and is none
_GONE, _ENDS = "protocol_error", frozenset({"ConnectionResetError", "ClientConnectionResetError"})
_AROUND, _MOST_AROUND = 3.0, 20


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a log."""

    at: float
    replica: str
    name: str
    fields: dict[str, Any]


class Logs:
    """Reads what both replicas write, as it comes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._positions = dict.fromkeys(world.replicas, 0)
        self._issued = (0, 0)
        self.counts: Counter[str] = Counter()
        self.events: list[Event] = []

    def read(self) -> None:
        """Look at what is new."""
        tokens, self._issued = self._world.iam.handed_out(self._issued)
        for token in tokens:
            self._world.secrets.add("token of the IAM", token)
        for name in self._positions:
            for line in self._new_lines(name):
                self._look(name, line)

    def of(self, *names: str) -> list[Event]:
        """Return the events of these names, in their order."""
        return sorted((event for event in self.events if event.name in names), key=lambda event: event.at)

    def shared_ids(self) -> int:
        """Return how many request ids stand on lines that speak of several people: a request speaks of one."""
        spoken: dict[str, set[str]] = {}
        for event in self.events:
            if "request_id" in event.fields:
                spoken.setdefault(event.fields["request_id"], set()).add(event.fields.get("subject", ""))
        return sum(len(subjects) > 1 for subjects in spoken.values())

    def again(self) -> None:
        """Look for secrets once more in all of it: some were learnt after the line was read."""
        for name, replica in self._world.replicas.items():
            for line in replica.log.read_text(errors="replace").splitlines():
                self._require_no_secret(name, line)

    def around(self, at: float) -> list[str]:
        """Return lines that speak of the moments around one, but those of requests that went well."""
        lines: list[tuple[float, str]] = []
        for name, replica in self._world.replicas.items():
            events = (_parsed(name, line) for line in replica.log.read_text(errors="replace").splitlines())
            near = (event for event in events if event is not None and abs(event.at - at) < _AROUND)
            lines += [(event.at, f"{event.at - at:+.3f} {name} {_short(event)}") for event in near]
        nearest = sorted(lines, key=lambda each: abs(each[0] - at))[:_MOST_AROUND]
        return [line for _, line in sorted(nearest)]

    def _new_lines(self, name: str) -> Iterator[str]:
        path: Path = self._world.replicas[name].log
        with path.open("rb") as log:
            log.seek(self._positions[name])
            whole = log.read().rpartition(b"\n")[0]
        if whole:
            self._positions[name] += len(whole) + 1
            yield from whole.decode(errors="replace").split("\n")

    def _look(self, name: str, line: str) -> None:
        self._require_no_secret(name, line)
        event = _parsed(name, line)
        if event is None:
            self._world.findings.add("a line of a log is not one", f"{name}: {line[:300]}")
            return
        self.counts[event.name] += 1
        if event.name in _KEPT:
            self.events.append(event)
        if self._is_fault(event):
            self._world.findings.add(f"a fault of the daemon's: {event.name}", f"{name}: {line[:1000]}", event.at)

    def _is_fault(self, event: Event) -> bool:
        if event.name == _NOT_SAVED:
            stores = self._world.timeline.touching(event.at - _AWAY_SECONDS, event.at, "store")
            return not any(each.seconds() >= _AWAY_SECONDS for each in stores)
        if event.name == _GONE and event.fields["exception"] in _ENDS:
            return False
        is_error = event.fields["level"] in {"error", "critical"} or "exception" in event.fields
        return is_error or event.name in _FAULTS

    def _require_no_secret(self, name: str, line: str) -> None:
        if (told := self._world.secrets.told(line)) is not None:
            event = _parsed(name, line)
            where = "a line that is none" if event is None else f"event {event.name}, fields {sorted(event.fields)}"
            self._world.findings.add(
                "a log tells a secret", f"{name}: {told}, in {where}", None if event is None else event.at
            )


def _parsed(replica: str, line: str) -> Event | None:
    try:
        fields = json.loads(line)
        return Event(datetime.fromisoformat(fields["time"]).timestamp(), replica, fields["event"], fields)
    except (ValueError, LookupError, TypeError):
        return None


def _short(event: Event) -> str:
    shown = {name: value for name, value in event.fields.items() if name not in {"time", "event", "logger", "issuer"}}
    return f"{event.name} {json.dumps(shown)[:300]}"
