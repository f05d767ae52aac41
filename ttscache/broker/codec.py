"""The records' form in the store: JSON with a format number, so that another version knows what it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import PrivateKey, load_private_key, private_pem
from ttscache.errors import RecordUnreadableError
from ttscache.model import Credential, Session, SessionState

_FORMAT = 1
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class EndEntity:
    """An end-entity certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey


@dataclass(frozen=True)
class CachedCredential:
    """A credential with its two ages, in POSIX seconds: after ``soft`` renewed behind, after ``hard`` not served."""

    credential: Credential
    issued_at: float
    soft: float
    hard: float


def encode_session(session: Session) -> bytes:
    """Return a session's record."""
    return _encode({**asdict(session), "state": session.state.value})


def decode_session(value: bytes) -> Session:
    """Read a session's record. Raises RecordUnreadableError, as all here do, for what this version cannot read."""
    return _decode(value, lambda fields: Session(**{**fields, "state": SessionState(fields["state"])}))


def encode_end_entity(entity: EndEntity) -> bytes:
    """Return an end entity's record; it holds the private key."""
    certificate = entity.certificate.public_bytes(serialization.Encoding.PEM)
    return _encode({"certificate": certificate.decode(), "key": private_pem(entity.key).decode()})


def decode_end_entity(value: bytes) -> EndEntity:
    """Read an end entity's record."""
    return _decode(
        value,
        lambda fields: EndEntity(
            x509.load_pem_x509_certificate(fields["certificate"].encode()),
            load_private_key(fields["key"].encode(), made_here=True),
        ),
    )


def encode_cached(cached: CachedCredential) -> bytes:
    """Return a cached credential's record; it holds the private key."""
    credential = {**asdict(cached.credential), "pem": cached.credential.pem.decode()}
    return _encode({"credential": credential, "issued_at": cached.issued_at, "soft": cached.soft, "hard": cached.hard})


def decode_cached(value: bytes) -> CachedCredential:
    """Read a cached credential's record."""
    return _decode(
        value, lambda fields: CachedCredential(**{**fields, "credential": _credential(fields["credential"])})
    )


def _credential(raw: dict[str, Any]) -> Credential:
    lists = {name: tuple(raw[name]) for name in ("fqans", "shortened_by")}
    return Credential(**{**raw, **lists, "pem": raw["pem"].encode()})


def encode_fields(fields: dict[str, Any]) -> bytes:
    """Return the record of a few plain fields."""
    return _encode(fields)


def decode_fields(value: bytes) -> dict[str, Any]:
    """Read a record of a few plain fields."""
    return _decode(value, dict)


def _encode(fields: dict[str, Any]) -> bytes:
    return json.dumps({"format": _FORMAT, **fields}, separators=(",", ":")).encode()


def _decode(value: bytes, read: Callable[[dict[str, Any]], _Value]) -> _Value:
    try:
        fields = json.loads(value)
        if fields.pop("format", None) == _FORMAT:
            return read(fields)
    except (ValueError, TypeError, LookupError, AttributeError, ProxyGenError):
        pass  # its content may be secret, and so may what the parser says of it
    raise RecordUnreadableError("a record of the store was written by another version of ttscache")
