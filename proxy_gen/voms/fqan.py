"""Fully qualified attribute names (FQANs): a VO's groups and roles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy_gen.errors import FqanRefusedError

# Consumers keep an FQAN, in its long form, in buffers of 255 characters and less.
MAX_FQAN_LENGTH = 255
# A group is a path to some consumers: no part of it begins with a dot.
_WORD = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_GROUP = re.compile(rf"(?:/{_WORD})+")
_ROLE = re.compile(_WORD)
_FQAN = re.compile(r"(?P<group>/[^=]+?)(?:/Role=(?P<role>[^/=]+))?(?:/Capability=(?P<capability>[^/=]+))?")
_NULL = "NULL"


@dataclass(frozen=True)
class Fqan:
    """A group, and perhaps a role in it.

    Raises :class:`FqanRefusedError` (``fqan_malformed``) for what no VOMS server would have for a group or role.
    """

    group: str
    role: str | None = None

    def __post_init__(self) -> None:
        role_fits = self.role is None or (self.role != _NULL and _ROLE.fullmatch(self.role))
        if not role_fits or len(self.long) > MAX_FQAN_LENGTH or not _GROUP.fullmatch(self.group):
            raise _refused(self.short)

    @classmethod
    def parse(cls, text: str) -> Fqan:
        """Parse either form: ``/cms/Role=production`` or ``/cms/Role=production/Capability=NULL``.

        Raises :class:`FqanRefusedError` (``fqan_malformed``). `NULL` is no role. Capabilities went out of use before
        RFC 3820; another than `NULL` is refused, for no consumer would look at it.
        """
        found = _FQAN.fullmatch(text) if len(text) <= MAX_FQAN_LENGTH else None
        if found is None or found["capability"] not in {None, _NULL}:
            raise _refused(text)
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


def _refused(text: str) -> FqanRefusedError:
    return FqanRefusedError(
        "fqan_malformed", f"'{ascii(text[:60])[1:-1]}' is not of the form /VO[/group...][/Role=role]"
    )
