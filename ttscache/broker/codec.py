"""The records' form in the store: JSON with a format number, so that another version knows what it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import load_private_key, private_pem
from proxy_gen.pci import proxy_cert_info
from ttscache.broker.orders import Parent
from ttscache.errors import RecordUnreadableError
from ttscache.model import Credential, Identity, IssuedToken, Session, SessionState

_FORMAT = 1
_Value = TypeVar("_Value")
_Issued = TypeVar("_Issued", Credential, IssuedToken)


@dataclass(frozen=True)
class Cached(Generic[_Issued]):
    """A credential with its two ages, in POSIX seconds: after ``soft`` renewed behind, after ``hard`` not served.

    ``owner`` is whose it is: name of the issuer, and subject.
    """

    credential: _Issued
    issued_at: float
    soft: float
    hard: float
    owner: tuple[str, str]


def encode_session(session: Session) -> bytes:
    """Return a session's record."""
    return _encode({**asdict(session), "state": session.state.value})


def decode_session(value: bytes) -> Session:
    """Read a session's record. Raises RecordUnreadableError, as all here do, for what this version cannot read."""
    return _decode(value, lambda fields: Session(**{**fields, "state": SessionState(fields["state"])}))


def encode_parent(parent: Parent, identity: Identity) -> bytes:
    """Return the record of an identity's parent; it holds the private key."""
    key = private_pem(parent.key).decode()
    return _encode({**_described(parent, identity), "key": key, "asked_until": parent.asked_until})


def encode_former_parent(parent: Parent, identity: Identity) -> bytes:
    """Return what is kept of a parent that another has followed: only :func:`describe_parent` reads it."""
    return _encode(_described(parent, identity))


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


def describe_parent(value: bytes) -> tuple[str, str, x509.Certificate]:
    """Read of a parent's record whose it is (issuer, subject), and its end-entity certificate; not its key."""

    def read(fields: dict[str, Any]) -> tuple[str, str, x509.Certificate]:
        chain = [x509.load_pem_x509_certificate(pem.encode()) for pem in fields["chain"]]
        end_entity = next(each for each in chain if proxy_cert_info(each) is None)
        return fields["owner"]["issuer"], fields["owner"]["subject"], end_entity

    return _decode(value, read)


def _described(parent: Parent, identity: Identity) -> dict[str, Any]:
    chain = [certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in parent.chain]
    return {"chain": chain, "owner": {"issuer": identity.issuer, "subject": identity.subject}}


@dataclass(frozen=True)
class Form(Generic[_Issued]):
    """How one kind of credential stands in a record."""

    write: Callable[[_Issued], dict[str, Any]]
    read: Callable[[dict[str, Any]], _Issued]

    def encode(self, cached: Cached[_Issued]) -> bytes:
        """Return a cached credential's record; it holds the private key, or the token."""
        ages = {"issued_at": cached.issued_at, "soft": cached.soft, "hard": cached.hard}
        return _encode({"credential": self.write(cached.credential), **ages, "owner": cached.owner})

    def decode(self, value: bytes) -> Cached[_Issued]:
        """Read a cached credential's record."""
        return _decode(
            value,
            lambda fields: Cached(
                **{**fields, "credential": self.read(fields["credential"]), "owner": tuple(fields["owner"])}
            ),
        )


def _read_proxy(raw: dict[str, Any]) -> Credential:
    lists = {name: tuple(raw[name]) for name in ("fqans", "shortened_by")}
    return Credential(**{**raw, **lists, "pem": raw["pem"].encode()})


def _read_token(raw: dict[str, Any]) -> IssuedToken:
    return IssuedToken(**{**raw, **{name: tuple(raw[name]) for name in ("scopes", "shortened_by")}})


PROXY: Form[Credential] = Form(lambda proxy: {**asdict(proxy), "pem": proxy.pem.decode()}, _read_proxy)
TOKEN: Form[IssuedToken] = Form(asdict, _read_token)


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
