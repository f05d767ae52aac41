"""Valid paths of every shape, as our own CA and proxies make them; the CAs above an online CA are forged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.ca import CertificateAuthority, authority_key_identifier
from proxy_gen.keys import KeyKind, PublicKey, public_der
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import ProxyKind, issue_proxy
from proxy_gen.trust import TrustAnchors
from tests.proxy_gen.forge import Draft, Extension, Link, Path, load
from tests.proxy_gen.keyring import key

NOW = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TOP = "/DC=ch/DC=example"
JANE = DistinguishedName.parse(f"{TOP}/OU=People/CN=Jane Doe")


@dataclass(frozen=True)
class Delegation:
    """How a proxy is to be made."""

    kind: ProxyKind = ProxyKind.FULL
    path_length: int | None = None
    key_kind: KeyKind = KeyKind.P_256


@cache
def authority(kind: KeyKind = KeyKind.P_256, dn: str = f"{TOP}/CN=CA") -> CertificateAuthority:
    """Return a CA that was made a month ago and lives for another one."""
    return CertificateAuthority.create(DistinguishedName.parse(dn), kind, now=NOW - 30 * DAY, lifetime=60 * DAY)


@cache
def authorities(count: int, kind: KeyKind = KeyKind.P_256) -> tuple[CertificateAuthority, ...]:
    """Return a hierarchy of CAs, the one that issues first, the self-signed one last; path lengths just suffice."""
    if count == 1:
        return (authority(kind),)
    found = [_bearing(count - 1, authority(kind, f"{TOP}/CN=Root"), None)]
    for number in range(count - 2, -1, -1):
        found.insert(0, _bearing(number, authority(KeyKind.P_256, f"{TOP}/CN=CA {number}"), found[0]))
    return tuple(found)


def _bearing(cas_below: int, made: CertificateAuthority, issuer: CertificateAuthority | None) -> CertificateAuthority:
    """Return this CA with another path length, and signed by another CA where there is one above it."""
    issuer = issuer or made
    draft = replace(Draft.of(made.certificate), issuer=issuer.certificate.subject.public_bytes()).having(
        Extension.of(x509.BasicConstraints(ca=True, path_length=cas_below), critical=True),
        Extension.of(authority_key_identifier(issuer.certificate)),
    )
    return CertificateAuthority(load(draft.sign(issuer.key)), made.key)


def path(
    delegations: Sequence[Delegation] = (),
    *,
    cas: Sequence[CertificateAuthority] = (),
    eec_kind: KeyKind = KeyKind.P_256,
    identity: DistinguishedName = JANE,
) -> Path:
    """Make a path, leaf first. The delegations are in their order in time, so the last one is the leaf's."""
    cas = cas or [authority()]
    eec_key = key(eec_kind, 0)
    certificate = cas[0].issue_eec(identity, eec_key.public_key(), now=NOW, lifetime=DAY)
    links = [Link(Draft.of(certificate), eec_key), *(Link(Draft.of(ca.certificate), ca.key) for ca in cas)]
    for number, delegation in enumerate(delegations, start=1):
        own = key(delegation.key_kind, number)
        certificate = issue_proxy(
            certificate,
            links[0].key,
            own.public_key(),
            now=NOW,
            lifetime=HOUR,
            kind=delegation.kind,
            path_length=delegation.path_length,
        )
        links.insert(0, Link(Draft.of(certificate), own))
    return Path(tuple(links))


def rekeyed(draft: Draft, public: PublicKey) -> Draft:
    return replace(draft, public_key=public_der(public))


def pem(certificates: Sequence[bytes]) -> bytes:
    return b"".join(load(certificate).public_bytes(Encoding.PEM) for certificate in certificates)


def trusting(*anchors: bytes) -> TrustAnchors:
    return TrustAnchors.of(load(anchor) for anchor in anchors)
