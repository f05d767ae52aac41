"""Where a Redis server is. Apart from the store itself, whose library is needed only where there is such a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RedisAddress:
    """Where the server is. ``user`` and ``password`` are of its ACL; ``ca_file`` is for TLS, None for the system's."""

    host: str
    port: int
    database: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
