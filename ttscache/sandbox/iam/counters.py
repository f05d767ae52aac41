"""How often each endpoint and each grant was used."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Counts since the start or the last reset: `requests` by endpoint and `grants` by label, as they come in.

    `granted` counts the tokens issued by grant, also those whose answer was lost on purpose.
    """

    requests: Counter[str] = field(default_factory=Counter)
    grants: Counter[str] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        """Start from zero."""
        for counter in (self.requests, self.grants, self.granted):
            counter.clear()

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Return the counts as plain values."""
        return {"requests": dict(self.requests), "grants": dict(self.grants), "granted": dict(self.granted)}
