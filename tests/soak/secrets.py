"""Secrets, and whether a text has a run of sixteen characters of one."""

import re
from collections.abc import Iterator

_RUN = 16
# of a secret every fourth run is known: no twenty characters of it pass unseen
_STRIDE = 4
_WORD = re.compile(r"[A-Za-z0-9+/=_.-]{16,}")


class Secrets:
    """All that must not be told. A JWT counts by its beginning and its signature: what is between is no secret."""

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}

    def add(self, name: str, secret: str) -> None:
        assert len(secret) >= _RUN, name
        self._runs[secret[:_RUN]] = name
        hidden = secret.rpartition(".")[2]
        for start in range(0, len(hidden) - _RUN + 1, _STRIDE):
            self._runs[hidden[start : start + _RUN]] = name

    def add_key(self, name: str, pem: str) -> None:
        """Add a private key that stands in a PEM file, without the beginning that all of a kind share."""
        _, _, rest = pem.partition("PRIVATE KEY-----\n")
        self.add(name, rest.partition("-----END")[0].replace("\n", "")[60:])

    def told(self, text: str) -> str | None:
        """Return the name of a secret of which the text tells, or None."""
        if "PRIVATE KEY" in text:
            return "a private key"
        return next((self._runs[run] for run in _runs(text) if run in self._runs), None)


def _runs(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        for start in range(len(word) - _RUN + 1):
            yield word[start : start + _RUN]
