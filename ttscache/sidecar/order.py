"""What the agent has its worker do, and what it hears of it: values that cross between two processes as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ttscache.durable import Owner


class Kind(Enum):
    """What is kept: a file with a credential, or a directory of what to trust."""

    PROXY = "proxy"
    BEARER = "bearer"
    IDTOKEN = "idtoken"
    TRUST = "trust"
    VOMSDIR = "vomsdir"


class State(Enum):
    """What came of it. KEPT: what is there is good, and nothing better was to be had or was needed."""

    RENEWED = "renewed"
    KEPT = "kept"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True)
class Known:
    """A credential that was put somewhere: whose it is, and its times (POSIX seconds)."""

    identity: str
    written_at: float
    not_after: float


@dataclass(frozen=True)
class Item:
    """One thing to keep at ``path``; ``base`` is the directory that a directory is merged over.

    ``known`` is what was put there before, for what may not be read
    again. ``due`` asks for a new one even if the one that is there has more than half of its life before it.
    """

    kind: Kind
    path: Path
    profile: str | None = None
    base: Path | None = None
    due: bool = False
    known: Known | None = None


@dataclass(frozen=True)
class Order:
    """Things to renew, by whose token at which daemon, and how files are written. ``min_left`` is in seconds."""

    url: str
    ca_file: Path | None
    token_file: Path
    min_left: int
    mode: int
    owner: Owner | None
    items: tuple[Item, ...]

    def to_json(self) -> str:
        """Return it as JSON; there is no secret in it."""
        return json.dumps(asdict(self), default=_plain)

    @classmethod
    def from_json(cls, text: str) -> Order:
        """Read it back."""
        raw = json.loads(text)
        return cls(
            url=raw["url"],
            ca_file=_path(raw["ca_file"]),
            token_file=Path(raw["token_file"]),
            min_left=raw["min_left"],
            mode=raw["mode"],
            owner=None if raw["owner"] is None else Owner(**raw["owner"]),
            items=tuple(_item(each) for each in raw["items"]),
        )


@dataclass(frozen=True)
class Outcome:
    """What became of an item. Times are POSIX seconds; ``not_after`` is of what is there now, None without an end.

    ``identity`` is whose it is: a DN, or a token's subject and issuer.

    Of a failure there is the stable ``code`` with a line of text, ``retry_after`` in seconds where it was told, and the
    exit status of a command that ends by it.
    """

    state: State
    written_at: float | None = None
    not_after: float | None = None
    identity: str | None = None
    code: str | None = None
    message: str | None = None
    retry_after: float | None = None
    exit_status: int = 0

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self), default=_plain)

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Read it back. Raises ValueError, TypeError, KeyError."""
        raw = json.loads(text)
        return cls(**{**raw, "state": State(raw["state"])})


def _item(raw: dict[str, Any]) -> Item:
    known = None if raw["known"] is None else Known(**raw["known"])
    return Item(Kind(raw["kind"]), Path(raw["path"]), raw["profile"], _path(raw["base"]), raw["due"], known)


def _path(raw: str | None) -> Path | None:
    return None if raw is None else Path(raw)


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)
