"""What the tests are told by their environment."""

import os
import re
from dataclasses import dataclass, fields

_IMAGE = re.compile(
    r"(?:(?P<registry>[^/]+\.[^/]+|[^/]+:\d+|localhost)/)?(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>.+))?"
)


@dataclass(frozen=True)
class Images:
    """References of images by what runs in them: of TTSCACHE_IMAGE, XROOTD_IMAGE and so on; without, the charts' own.

    That of XRootD has server, client and a shell.
    """

    ttscache: str
    xrootd: str
    squid: str = ""
    squid_exporter: str = ""
    redis: str = ""

    @classmethod
    def from_environment(cls) -> "Images":
        """Read it. Raises KeyError for one that must be named."""
        named = {field.name: os.environ.get(f"{field.name.upper()}_IMAGE", "") for field in fields(cls)}
        for name in ("ttscache", "xrootd"):
            if not named[name]:
                raise KeyError(f"{name.upper()}_IMAGE")
        return cls(**named)


def image_values(reference: str) -> dict[str, str]:
    """Return a reference as charts want it; of an empty one nothing, so that the chart's own stays."""
    found = _IMAGE.fullmatch(reference)
    if found is None:
        return {}
    return {name: part or "" for name, part in found.groupdict().items()}
