"""Fully qualified attribute names (FQANs): a VO's groups and roles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy_gen.errors import FqanRefusedError

# Consumers keep an FQAN in buffers of 255 characters and less.
MAX_FQAN_LENGTH = 255
_WORD = r"[A-Za-z0-9_.-]+"
_FQAN = re.compile(rf"(?P<group>(?:/{_WORD})+)(?:/Role=(?P<role>{_WORD}))?(?:/Capability=(?P<capability>{_WORD}))?\Z")
_NULL = "NULL"


@dataclass(frozen=True)
class Fqan:
    """A group, and perhaps a role in it. Both textual forms stand for the same: `NULL` is no role."""

    group: str
    role: str | None = None

    @classmethod
    def parse(cls, text: str) -> Fqan:
        """Parse either form: ``/cms/Role=production`` or ``/cms/Role=production/Capability=NULL``.

        Raises :class:`FqanRefusedError` (``fqan_malformed``). Capabilities went out of use before RFC 3820; another
        than `NULL` is refused, for no consumer would look at it.
        """
        found = _FQAN.match(text) if len(text) <= MAX_FQAN_LENGTH else None
        if found is None or found["capability"] not in {None, _NULL}:
            raise FqanRefusedError(
                "fqan_malformed", f"'{ascii(text[:60])[1:-1]}' is not of the form /VO[/group...][/Role=role]"
            )
        return cls(found["group"], None if found["role"] in {None, _NULL} else found["role"])

    @property
    def vo(self) -> str:
        """The virtual organisation: the first group."""
        return self.group.split("/", 2)[1]

    @property
    def short(self) -> str:
        """The form that people write: without what is `NULL`."""
        return self.group if self.role is None else f"{self.group}/Role={self.role}"

    @property
    def long(self) -> str:
        """The form that stands in attribute certificates and that map files compare with."""
        return f"{self.group}/Role={self.role or _NULL}/Capability={_NULL}"

    def __str__(self) -> str:
        return self.short
