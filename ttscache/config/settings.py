"""The settings that come out of a configuration. Durations are in seconds, paths absolute, secrets loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from ttscache.identity.settings import IssuerSettings
from ttscache.mapping.rules import Rule
from ttscache.store.sealing import SealingKey
from ttscache.upstream.settings import ExchangeSettings


@dataclass(frozen=True)
class TlsSettings:
    """Files of the server's certificate chain and key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class ServerSettings:
    """Where to listen: ``host`` and ``port``, or ``unix_path``."""

    host: str
    port: int
    unix_path: Path | None
    public_url: str | None
    tls: TlsSettings | None
    deadline: float


@dataclass(frozen=True)
class SessionPolicy:
    """How long a session is relied upon, each from its last confirmation but ``absolute``, from its opening."""

    confirm: float
    grace: float
    idle: float
    absolute: float


@dataclass(frozen=True)
class IssuerConfiguration:
    """An issuer; ``exchange`` is None where its tokens are used as they are."""

    identity: IssuerSettings
    exchange: ExchangeSettings | None
    session: SessionPolicy


@dataclass(frozen=True)
class Profile:
    """An X.509 proxy that can be asked for; lifetimes in seconds."""

    name: str
    lifetime: int
    min_lifetime: int
    max_lifetime: int
    key: KeyKind
    limited: bool
    outlive_token: bool

    def __hash__(self) -> int:
        """Hash by the name: a profile is part of the cache's keys, of which each request looks one up."""
        return hash(self.name)


@dataclass(frozen=True)
class AuthoritySettings:
    """The local CA: where it is, and how it is made when it is not there. ``lifetime`` is in seconds."""

    directory: Path
    subject: DistinguishedName
    key: KeyKind
    lifetime: float


@dataclass(frozen=True)
class StoreSettings:
    """``path`` of the SQLite file, None for memory."""

    path: Path | None
    sealing_keys: tuple[SealingKey, ...]
    stale_for: float

    @property
    def ring(self) -> tuple[tuple[str, bytes], ...]:
        """The sealing keys as values that can be compared."""
        return tuple((key.key_id, key.material) for key in self.sealing_keys)


@dataclass(frozen=True)
class Settings:
    """A whole configuration."""

    server: ServerSettings
    issuers: tuple[IssuerConfiguration, ...]
    rules: tuple[Rule, ...]
    profiles: Mapping[str, Profile]
    authority: AuthoritySettings
    store: StoreSettings

    @property
    def signable_subjects(self) -> tuple[str, ...]:
        """What names the CA will sign, for its signing policy: each rule's literal beginning and ``*``."""
        prefixes = {rule.dn.literal_prefix for rule in self.rules}
        return tuple(sorted(f"{prefix[: prefix.rfind('/') + 1] or '/'}*" for prefix in prefixes))
