"""The settings that come out of a configuration. Durations are in seconds, paths absolute, secrets loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TypeAlias

from cryptography import x509

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from ttscache.authority.condor import SigningKey
from ttscache.config.secrets import SecretReference
from ttscache.identity.settings import IssuerSettings
from ttscache.mapping.rules import Rule, When
from ttscache.mapping.template import Template
from ttscache.store.redis_address import RedisAddress
from ttscache.store.sealing import SealingKey
from ttscache.upstream.settings import ExchangeSettings

Network: TypeAlias = IPv4Network | IPv6Network


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
class ClusterApi:
    """How a cluster's API server is asked: by the token in a file, also whether each token that comes still stands."""

    token: Path
    review: bool


@dataclass(frozen=True)
class IssuerConfiguration:
    """An issuer; ``exchange`` is None where its tokens are used as they are, ``api`` where it is no cluster's."""

    identity: IssuerSettings
    exchange: ExchangeSettings | None
    session: SessionPolicy
    api: ClusterApi | None


@dataclass(frozen=True)
class Profile:
    """What can be asked for under a name; lifetimes in seconds."""

    name: str
    lifetime: int
    min_lifetime: int
    max_lifetime: int
    outlive_token: bool


@dataclass(frozen=True)
class ProxyProfile(Profile):
    """An X.509 proxy. ``voms`` are the names of the attribute authorities whose certificates it carries."""

    key: KeyKind
    limited: bool
    voms: tuple[str, ...]


@dataclass(frozen=True)
class IdTokenProfile(Profile):
    """An HTCondor IDTOKEN: signed with ``key``, or relayed from the file ``source``."""

    trust_domain: str
    key: SigningKey | None = field(repr=False)
    user: Template
    scopes: tuple[str, ...]
    source: Path | None


@dataclass(frozen=True)
class AccessTokenProfile(Profile):
    """An access token of the issuer's for one of these audiences; the first is the default."""

    audiences: tuple[str, ...]


@dataclass(frozen=True)
class LocalAuthority:
    """A CA of our own: where it is, and how it is made when it is not there. ``lifetime`` is in seconds."""

    directory: Path
    subject: DistinguishedName
    key: KeyKind
    lifetime: float


@dataclass(frozen=True)
class OpenBaoAuthority:
    """The PKI engine of OpenBao. The token is read for each request: agents renew it."""

    url: str
    mount: str
    role: str
    token: SecretReference
    ca_file: Path | None


@dataclass(frozen=True)
class RobotAuthority:
    """A certificate from elsewhere with its key, and the CAs above it, its issuer first."""

    credential: Credential
    anchors: tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class ManagedProxyAuthority:
    """Each identity's proxy as IAM keeps it; ``anchors`` are the CAs of the certificates that users have linked."""

    anchors: tuple[x509.Certificate, ...]


AuthoritySettings: TypeAlias = LocalAuthority | OpenBaoAuthority | RobotAuthority | ManagedProxyAuthority


@dataclass(frozen=True)
class LocalVoms:
    """An attribute authority of our own; without a credential the local CA certifies it. ``lifetime`` in seconds."""

    vo: str
    host: str
    port: int
    lifetime: float
    credential: Credential | None


@dataclass(frozen=True)
class RemoteVoms:
    """A VOMS server elsewhere. ``lsc`` is the content of the file that names its signer, and ``host`` its name."""

    vo: str
    url: str
    host: str
    lifetime: float
    lsc: bytes
    ca_file: Path
    anchors: tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class StandingSession:
    """An identity of the site's own: by the token in a file, or without one the daemon's client at the issuer."""

    name: str
    issuer: str
    token: Path | None


@dataclass(frozen=True)
class WorkloadRule:
    """Pods of a service account act by a standing session, and may ask for these profiles (None: the rule's)."""

    issuer: str
    namespace: str
    service_account: str
    session: str
    profiles: tuple[str, ...] | None


@dataclass(frozen=True)
class LegacySettings:
    """The listener for clients that know of no token: who is in one of these networks gets this session's proxy."""

    host: str
    port: int
    networks: tuple[Network, ...]
    session: str
    profile: str
    plaintext: bool


@dataclass(frozen=True)
class AdminSettings:
    """Who may administer: by a token, by a client certificate of one of these DNs, by a unix socket."""

    tokens: tuple[When, ...]
    client_ca: Path | None
    client_dns: tuple[DistinguishedName, ...]
    socket: Path | None


@dataclass(frozen=True)
class Rate:
    """So many at once, and again as they come back over so many seconds."""

    count: int
    seconds: float


@dataclass(frozen=True)
class Limits:
    """What one caller may cost: by identity and address, by address, by identity, profile and public key."""

    identity: Rate
    address: Rate
    duplicates: Rate


@dataclass(frozen=True)
class StoreSettings:
    """``path`` of the SQLite file, or the address of ``redis``; neither for memory."""

    path: Path | None
    redis: RedisAddress | None
    sealing_keys: tuple[SealingKey, ...]
    stale_for: float


@dataclass(frozen=True)
class Settings:
    """A whole configuration."""

    server: ServerSettings
    issuers: tuple[IssuerConfiguration, ...]
    rules: tuple[Rule, ...]
    profiles: Mapping[str, Profile]
    authority: AuthoritySettings
    voms: Mapping[str, LocalVoms | RemoteVoms]
    store: StoreSettings
    sessions: tuple[StandingSession, ...]
    workloads: tuple[WorkloadRule, ...]
    admin: AdminSettings
    legacy: LegacySettings | None
    limits: Limits

    @property
    def signable_subjects(self) -> tuple[str, ...]:
        """What names the CA will sign, for its signing policy: each rule's literal beginning and ``*``."""
        prefixes = {rule.dn.literal_prefix for rule in self.rules if rule.dn is not None}
        return tuple(sorted(f"{prefix[: prefix.rfind('/') + 1] or '/'}*" for prefix in prefixes))
