"""The frozen values that travel between the rooms. Times are POSIX seconds, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class Pod:
    """The pod that a Kubernetes token is bound to; ``cluster`` is the issuer's name."""

    cluster: str
    namespace: str
    service_account: str
    name: str
    uid: str


@dataclass(frozen=True, eq=False)
class Identity:
    """Who presented a verified token, in terms that mapping rules can ask for.

    ``issuer`` is the configured name. ``groups`` begin with a slash. ``digest`` is the token's SHA-256 in
    hexadecimal, which stands for it wherever the token itself must not be kept. ``expires_at`` is the token's `exp`.
    ``session`` is the name of the standing session that the identity acts by, if any; ``pod`` is who presented the
    token where it was a workload. ``profiles`` are the only ones that may be asked for, None where the rule alone says.
    """

    issuer: str
    subject: str
    client_id: str | None
    groups: tuple[str, ...]
    scopes: frozenset[str]
    entitlements: tuple[str, ...]
    claims: Mapping[str, Any]
    issued_at: float
    expires_at: float
    digest: str
    session: str | None = None
    pod: Pod | None = None
    profiles: tuple[str, ...] | None = None

    @property
    def pod_name(self) -> str | None:
        """The pod's namespace and name, as logs have them."""
        return None if self.pod is None else f"{self.pod.namespace}/{self.pod.name}"


@dataclass(frozen=True)
class RuleTrace:
    """What one mapping rule said of an identity: matched, or the condition that it missed."""

    rule: str
    matched: bool
    why: str


@dataclass(frozen=True)
class Decision:
    """What the mapping gives an identity. The first profile is the default.

    ``dn`` is in slash form, None where the authority brings the DN along.
    """

    rule: str
    dn: str | None
    account: str | None
    fqans: tuple[str, ...]
    scopes: tuple[str, ...]
    profiles: tuple[str, ...]
    shared: bool
    trace: tuple[RuleTrace, ...]


@dataclass(frozen=True)
class CredentialRequest:
    """What a caller asks for, already of the right types. ``lifetime`` is in seconds; None means the profile's.

    ``csr`` is a PEM certificate signing request; without one the daemon makes the key. ``audiences`` (with RFC 8707's
    resources among them) and ``scopes`` are for access tokens.
    """

    profile: str | None = None
    lifetime: int | None = None
    limited: bool | None = None
    fqans: tuple[str, ...] = ()
    csr: bytes | None = None
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Credential:
    """What was issued. ``pem`` is a secret when the daemon made the key.

    ``subject`` is the leaf's DN and ``identity`` the end-entity certificate's, in slash form; ``serial`` is the
    leaf's, ``eec_serial`` the one that a CRL would name; ``shortened_by`` names what cut the lifetime.
    """

    pem: bytes = field(repr=False)
    subject: str
    identity: str
    account: str | None
    issuer: str
    not_before: float
    not_after: float
    fqans: tuple[str, ...]
    serial: int
    eec_serial: int
    profile: str
    shortened_by: tuple[str, ...]


@dataclass(frozen=True)
class IssuedToken:
    """A token that was issued: an HTCondor IDTOKEN or an access token. ``not_after`` in POSIX seconds."""

    token: str = field(repr=False)
    subject: str
    scopes: tuple[str, ...]
    not_after: float
    profile: str
    shortened_by: tuple[str, ...]


class SessionState(Enum):
    """Where a session stands. REFRESHING is the mark that a refresh token may be in use at this moment."""

    ACTIVE = "active"
    REFRESHING = "refreshing"
    ENDED = "ended"


@dataclass(frozen=True)
class Session:
    """The daemon's standing with an issuer on an identity's behalf.

    ``generation`` is another at each opening, so that nothing cached under an ended session is served from a new
    one. ``asked`` stands for the scopes and the audience that it was opened with. ``ends_at`` is when it ends in any
    case. ``fence`` is the lease under which the mark was set, at ``marked_at``. ``claims`` is the JSON of what the
    issuer said of the subject at the last confirmation. The access token is kept, until ``access_ends_at``, only
    where the issuer is called with it. A standing session has its ``name``; that of the daemon's own client is
    confirmed by ``client_credentials`` instead of a refresh token.
    """

    issuer: str
    subject: str
    generation: str
    state: SessionState
    opened_at: float
    confirmed_at: float
    ends_at: float
    refresh_token: str | None = field(repr=False)
    fence: int = 0
    asked: str | None = None
    access_token: str | None = field(default=None, repr=False)
    access_ends_at: float = 0.0
    end_reason: str | None = None
    claims: str | None = field(default=None, repr=False)
    name: str | None = None
    client_credentials: bool = False
    marked_at: float = 0.0

    @property
    def is_renewable(self) -> bool:
        """Whether it can be confirmed without a new subject token."""
        return self.refresh_token is not None or self.client_credentials
