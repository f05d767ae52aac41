"""What administrators are told: typed entries, read from the daemon's JSON. Times are aware, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, get_type_hints

from ttscache.client.errors import ClientError

_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class SessionOwner:
    """Whose a session is; ``session`` is a standing session's name."""

    issuer: str
    subject: str
    session: str | None


@dataclass(frozen=True)
class ListedSession(SessionOwner):
    """A session, as it is listed. ``state`` is `active`, `refreshing` or `ended`."""

    id: str
    state: str
    end_reason: str | None
    generation: str
    opened_at: datetime
    confirmed_at: datetime
    ends_at: datetime
    renewable: bool


@dataclass(frozen=True)
class ListedCredential:
    """A credential that the daemon keeps; never its key.

    ``kind`` is `proxy`, or `end-entity` for what proxies stand under, which has no ``profile``.
    """

    id: str
    kind: str
    issuer: str
    subject: str
    dn: str
    authority: str
    profile: str | None
    serial: int
    eec_serial: int
    not_after: datetime
    revoked: bool


@dataclass(frozen=True)
class RevokedCertificate:
    """An end-entity certificate that was revoked: its serial, and its CA's name in slash form."""

    eec_serial: int
    authority: str


@dataclass(frozen=True)
class RevokedIdentity:
    """An identity that is refused, since when, and who said so for which reason."""

    issuer: str
    subject: str
    revoked_at: datetime
    by: str
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """What a map file's format cannot say."""

    rule: str
    why: str


@dataclass(frozen=True)
class MapFile:
    """The mapping rules as a file of a consumer's."""

    format: str
    text: str
    left_out: tuple[LeftOut, ...]


def read(kind: type[_Entry], document: object) -> _Entry:
    """Return an entry; what else the document holds is passed over: a newer daemon may tell more.

    Raises ClientError.
    """
    try:
        fields = {name: _field(document, name, hint) for name, hint in get_type_hints(kind).items()}
    except (KeyError, TypeError, ValueError):
        raise unreadable() from None
    return kind(**fields)


def entries(kind: type[_Entry], documents: object) -> tuple[_Entry, ...]:
    """Return a list's entries. Raises ClientError."""
    if not isinstance(documents, list):
        raise unreadable()
    return tuple(read(kind, each) for each in documents)


def moment(text: str) -> datetime:
    """Return a time of the daemon's. Raises TypeError, ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def unreadable() -> ClientError:
    """Return the error for an answer that is JSON, but not the one that was asked for."""
    return ClientError("answer_invalid", "the daemon's answer is not what was asked for", status=200)


def _field(document: Any, name: str, hint: Any) -> Any:  # noqa: ANN401 - of the JSON, and of that type
    value = document[name]
    if hint is datetime:
        return moment(value)
    if hint is int:
        return int(str(value))  # serials are decimal texts: JSON's numbers are too short for them
    if hint == tuple[LeftOut, ...]:
        return entries(LeftOut, value)
    if not isinstance(value, hint):
        raise TypeError(name)
    return value
