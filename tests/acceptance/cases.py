"""Credentials, good and bad, and which of the grid's software takes them.

This was measured with XRootD 5.5, Globus of 2022, LCMAPS 1.6, ARC 6.17 and OpenSSL 3.0; `docs/consumers.md` shows it
as a table. That XRootD takes what it should not is not what we want of it: it is why lifetimes are short, and a
version that learns better shows here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from operator import attrgetter
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy_gen.ca import CertificateAuthority, key_usage
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import encode
from proxy_gen.proxy import ProxyKind
from tests.acceptance.answers import Answer
from tests.acceptance.site import JANE, OUTSIDER, Site
from tests.tools.minting import DAY, HOUR, delegate, end_entity, key_of, resigned, tampered, write_private


class Consumer(Enum):
    """Who looks at a credential. `LIBRARY` is our own verification."""

    OPENSSL = auto()
    STRICT = auto()
    STRICT_CRL = auto()
    GLOBUS = auto()
    GSI = auto()
    HTTPS = auto()
    LCMAPS = auto()
    ARC = auto()
    LIBRARY = auto()


OPENSSL, STRICT, STRICT_CRL, GLOBUS, GSI, HTTPS, LCMAPS, ARC, LIBRARY = Consumer
EVERYBODY = frozenset(Consumer)
NOBODY: frozenset[Consumer] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """A credential file to be made, and who takes it."""

    name: str
    make: Callable[[Site], bytes]
    taken_by: frozenset[Consumer]
    # whose own client does not show it: what the server would say is not known
    unshown_by: frozenset[Consumer] = NOBODY
    mode: int = 0o600

    def answer(self, consumer: Consumer) -> Answer:
        """Return what a consumer is expected to say."""
        if consumer in self.taken_by:
            return Answer.TAKEN
        return Answer.UNSHOWN if consumer in self.unshown_by else Answer.REFUSED

    def write(self, site: Site, directory: Path) -> Path:
        """Write the file into a directory."""
        return write_private(directory / "proxy", self.pem(site), mode=self.mode)

    def pem(self, site: Site) -> bytes:
        """Return the file: made once, since all consumers can look at the same and RSA keys take their time."""
        if self.name not in site.made:
            site.made[self.name] = self.make(site)
        return site.made[self.name]


def cases(consumer: Consumer) -> list[object]:
    """Return `case, expected` for `pytest.mark.parametrize`."""
    return [pytest.param(case, case.answer(consumer), id=case.name.replace(" ", "-")) for case in CASES]


def _jane(site: Site) -> Credential:
    return end_entity(site.ca, JANE)


def _kind(kind: ProxyKind, path_length: int | None = None) -> Callable[[Site], bytes]:
    return lambda site: delegate(_jane(site), kind, path_length=path_length).to_pem()


def _depth(depth: int) -> Callable[[Site], bytes]:
    def make(site: Site) -> bytes:
        credential = _jane(site)
        for _ in range(depth):
            credential = delegate(credential)
        return credential.to_pem()

    return make


def _keys(
    eec: KeyKind = KeyKind.P_256,
    *,
    leaf: KeyKind = KeyKind.RSA_2048,
    ca: Callable[[Site], CertificateAuthority] = attrgetter("ca"),
) -> Callable[[Site], bytes]:
    def make(site: Site) -> bytes:
        return delegate(end_entity(ca(site), JANE, eec), key=leaf).to_pem()

    return make


def _weak(site: Site) -> bytes:
    """Make a proxy with a key that the library does not put into one."""
    jane = _jane(site)
    own = rsa.generate_private_key(65537, 1024)  # noqa: S505 -- to see who takes it
    leaf = resigned(delegate(jane).leaf, key_of(jane), key=own.public_key())
    key = own.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return leaf.public_bytes(Encoding.PEM) + key + Credential(jane.chain).to_pem()


def _followed_by_ca(site: Site) -> bytes:
    return delegate(_jane(site)).to_pem() + site.ca.certificate_pem()


def _twice(site: Site) -> bytes:
    proxy = delegate(_jane(site))
    return proxy.to_pem() + Credential(proxy.chain[1:]).to_pem()


def _altered(
    *added: x509.ExtensionType,
    critical: bool = True,
    without: type[x509.ExtensionType] | None = None,
    subject: Callable[[Credential], str] | None = None,
) -> Callable[[Site], bytes]:
    """Make a proxy, signed again by its true issuer with something else in it."""

    def make(site: Site) -> bytes:
        jane = _jane(site)
        proxy = delegate(jane)
        named = DistinguishedName.parse(subject(proxy)) if subject else None
        leaf = resigned(proxy.leaf, key_of(jane), *added, critical=critical, without=without, subject=named)
        return Credential((leaf, *jane.chain), proxy.key).to_pem()

    return make


def _below(kind: ProxyKind, path_length: int | None) -> Callable[[Site], bytes]:
    """Make a full proxy below one that, on a second signature, does not allow it."""

    def make(site: Site) -> bytes:
        jane = _jane(site)
        parent = delegate(jane)
        child = delegate(parent)
        narrow = resigned(parent.leaf, key_of(jane), encode(kind, path_length))
        return Credential((child.leaf, narrow, *jane.chain), child.key).to_pem()

    return make


def _unfit_eec(site: Site) -> bytes:
    jane = _jane(site)
    proxy = delegate(jane)
    unfit = resigned(jane.leaf, site.ca.key, key_usage(key_encipherment=True))
    return Credential((proxy.leaf, unfit), proxy.key).to_pem()


def expired_for(time: timedelta, site: Site) -> bytes:
    """Make a proxy that was good for an hour, under a certificate that still is."""
    return _at(-time - HOUR, site)


def _at(offset: timedelta, site: Site) -> bytes:
    now = datetime.now(UTC)
    jane = end_entity(site.ca, JANE, now=now - DAY, lifetime=3 * DAY)
    return delegate(jane, now=now + offset, lifetime=HOUR).to_pem()


_GSI = frozenset({GSI})
CASES = (
    *(Case(kind.name.lower(), _kind(kind), EVERYBODY) for kind in ProxyKind),
    *(Case(f"path length {n}", _kind(ProxyKind.FULL, n), EVERYBODY) for n in (0, 1)),
    *(Case(f"depth {n}", _depth(n), EVERYBODY) for n in (2, 3, 4, 5, 6)),
    Case("EEC RSA", _keys(KeyKind.RSA_2048), EVERYBODY),
    Case("EEC RSA-4096", _keys(KeyKind.RSA_4096), EVERYBODY),
    Case("EEC Ed25519", _keys(KeyKind.ED25519), EVERYBODY),
    Case("CA RSA", _keys(ca=attrgetter("rsa_ca")), EVERYBODY),
    Case("CA and EEC RSA", _keys(KeyKind.RSA_2048, ca=attrgetter("rsa_ca")), EVERYBODY),
    Case("CA Ed25519", _keys(ca=attrgetter("ed25519_ca")), EVERYBODY),
    Case("proxy RSA-3072", _keys(leaf=KeyKind.RSA_3072), EVERYBODY),
    Case("proxy RSA-1024", _weak, frozenset({OPENSSL, STRICT, STRICT_CRL, GSI, LCMAPS})),
    Case("proxy P-256", _keys(leaf=KeyKind.P_256), EVERYBODY - {GSI}, unshown_by=_GSI),
    Case("mode 0640", _kind(ProxyKind.FULL), EVERYBODY - {GLOBUS}, unshown_by=frozenset({GLOBUS}), mode=0o640),
    Case("CA appended", _followed_by_ca, EVERYBODY),
    Case("certificate twice", _twice, EVERYBODY - {GSI, LIBRARY}, unshown_by=_GSI),
    Case("no AKI", _altered(without=x509.AuthorityKeyIdentifier), EVERYBODY - {STRICT, STRICT_CRL, LIBRARY}),
    Case(
        "ProxyCertInfo not critical",
        _altered(encode(ProxyKind.FULL, None), critical=False),
        EVERYBODY - {GLOBUS, GSI, LCMAPS, LIBRARY},
    ),
    Case("child under path length 0", _below(ProxyKind.FULL, 0), frozenset({GSI})),
    Case("full below limited", _below(ProxyKind.LIMITED, None), EVERYBODY - {GLOBUS, LCMAPS, LIBRARY}),
    Case("EEC without digitalSignature", _unfit_eec, frozenset({GSI})),
    Case("SAN", _altered(x509.SubjectAlternativeName([x509.DNSName("localhost")])), frozenset({GSI})),
    Case("CA true", _altered(x509.BasicConstraints(ca=True, path_length=None)), NOBODY, unshown_by=_GSI),
    Case("two CNs", _altered(subject=lambda proxy: f"{DistinguishedName(proxy.leaf.subject)}/CN=1"), NOBODY),
    Case("foreign subject", _altered(subject=lambda _: f"{OUTSIDER}/CN=1"), NOBODY),
    Case("expired", lambda site: expired_for(2 * HOUR, site), NOBODY, unshown_by=_GSI),
    Case("not yet valid", lambda site: _at(timedelta(minutes=15), site), frozenset({GSI})),
    Case("CA untrusted", lambda site: delegate(end_entity(site.untrusted_ca, JANE)).to_pem(), NOBODY),
    Case("signature tampered", lambda site: tampered(delegate(_jane(site))).to_pem(), NOBODY),
    # openssl looks at CRLs when told to; XRootD and ARC do not
    Case(
        "EEC revoked",
        lambda site: delegate(site.revoked).to_pem(),
        EVERYBODY - {STRICT_CRL, GLOBUS, LCMAPS, LIBRARY},
    ),
    Case(
        "outside signing policy",
        lambda site: delegate(end_entity(site.ca, OUTSIDER)).to_pem(),
        EVERYBODY - {GLOBUS, LIBRARY},
    ),
)
