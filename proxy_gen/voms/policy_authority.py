"""The policy authority of an attribute certificate, `vo://host:port`: who speaks for which VO."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A directory of trust is named by the VO, a file in it by the host: neither may look like a way to somewhere else.
VO_PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}"
HOST_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_VO = re.compile(VO_PATTERN)
_HOST = re.compile(HOST_PATTERN)
_URI = re.compile(rf"(?P<vo>{VO_PATTERN})://(?P<host>{HOST_PATTERN}):(?P<port>[1-9][0-9]{{0,4}})")
_MAX_PORT = 65535


@dataclass(frozen=True)
class PolicyAuthority:
    """A VO, and the host and port of its authority (XRootD and LCMAPS want the port). Raises ValueError."""

    vo: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if not _VO.fullmatch(self.vo) or not is_host(self.host) or not 0 < self.port <= _MAX_PORT:
            raise ValueError("not of the form vo://host:port")

    @classmethod
    def parse(cls, text: str) -> PolicyAuthority:
        """Parse the URI. Raises ValueError."""
        found = _URI.fullmatch(text)
        if found is None:
            raise ValueError("not of the form vo://host:port")
        return cls(found["vo"], found["host"], int(found["port"]))

    @property
    def uri(self) -> str:
        """The form in which it stands in attribute certificates."""
        return f"{self.vo}://{self.host}:{self.port}"


def is_host(text: str) -> bool:
    """Tell whether a text can be a host's name."""
    return _HOST.fullmatch(text) is not None
