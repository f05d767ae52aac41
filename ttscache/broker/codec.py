"""The records' form in the store: JSON with a format number, so that another version knows what it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import load_private_key, private_pem
from ttscache.broker.orders import Parent
from ttscache.errors import RecordUnreadableError
from ttscache.model import Credential, Session, SessionState

_FORMAT = 1
_Value = TypeVar("_Value")


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


def encode_parent(parent: Parent) -> bytes:
    """Return a parent's record; it holds the private key."""
    chain = [certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in parent.chain]
    return _encode({"chain": chain, "key": private_pem(parent.key).decode(), "asked_until": parent.asked_until})


def decode_parent(value: bytes) -> Parent:
    """Read a parent's record."""
    return _decode(
        value,
        lambda fields: Parent(
            tuple(x509.load_pem_x509_certificate(pem.encode()) for pem in fields["chain"]),
            load_private_key(fields["key"].encode(), made_here=True),
            fields["asked_until"],
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
