"""LCMAPS's groupmapfile: ``"FQAN" account`` a line; an account that begins with a dot is a pool's.

LCMAPS asks for each FQAN of a proxy in its order, as it stands in the attribute certificate: the long form, but the
short one with some issuers. So each FQAN has a line in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy_gen.mapfiles import gridmap
from proxy_gen.voms.fqan import Fqan


def write(accounts: Mapping[Fqan, str]) -> str:
    """Return the file for accounts by FQAN."""
    forms = {form: account for fqan, account in accounts.items() for form in (fqan.long, fqan.short)}
    return gridmap.write(forms, gridmap.Reader.LCMAPS)


class Reader:
    """Reads a file as LCMAPS does."""

    def __init__(self, text: str) -> None:
        self._accounts = gridmap.read(text)

    def map(self, fqans: Sequence[str]) -> str | None:
        """Return the account of a proxy with these FQANs, or None."""
        return next((self._accounts[fqan] for fqan in fqans if fqan in self._accounts), None)
