"""Attribute certificates, good and bad, and which of the grid's software gives their holder what is the group's.

The group is `/cms`. As in `cases`, a consumer that takes what it should not is written down, not approved of.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import ProxyKind, issue_proxy
from proxy_gen.voms import signatures
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import AttributeCertificate, GenericAttribute, encode_extension
from proxy_gen.voms.fqan import Fqan
from tests.acceptance.answers import Answer
from tests.acceptance.site import JANE, JOE, Site, attribute_authority
from tests.tools.minting import DAY, HOUR, another_key, delegate, end_entity, key_of, resigned, write_private


class Consumer(Enum):
    """Who looks at the attributes. `LIBRARY` is ours; `PRINTER` is voms-proxy-info, which verifies nothing."""

    XROOTD_GSI = auto()
    XROOTD_HTTPS = auto()
    LCMAPS = auto()
    ARC = auto()
    LIBRARY = auto()
    PRINTER = auto()


XROOTD_GSI, XROOTD_HTTPS, LCMAPS, ARC, LIBRARY, PRINTER = Consumer
EVERYBODY = frozenset(Consumer)
NOBODY: frozenset[Consumer] = frozenset()
_PRINTED = frozenset({PRINTER})
# ARC looks into no `.lsc` file, at no target, at no times of the signer, and of the holder at the name alone
_ARC_AS_WELL = frozenset({ARC, PRINTER})

# what a consumer has for its host: the machine's name, or what it was told where that does not resolve
HERE = (socket.gethostname(), "localhost")

Make = Callable[[Site], bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """A proxy file to be made, and who finds in it that the holder is in `/cms`."""

    name: str
    make: Make
    taken_by: frozenset[Consumer]
    # whose own client does not show it
    unshown_by: frozenset[Consumer] = NOBODY

    def answer(self, consumer: Consumer) -> Answer:
        """Return what a consumer is expected to say."""
        if consumer in self.taken_by:
            return Answer.TAKEN
        return Answer.UNSHOWN if consumer in self.unshown_by else Answer.REFUSED

    def write(self, site: Site, directory: Path) -> Path:
        """Write the file into a directory."""
        return write_private(directory / "proxy", self.pem(site))

    def pem(self, site: Site) -> bytes:
        """Return the file, made once for all consumers."""
        key = f"voms {self.name}"
        if key not in site.made:
            site.made[key] = self.make(site)
        return site.made[key]


def cases(consumer: Consumer) -> list[object]:
    """Return `case, expected` for `pytest.mark.parametrize`."""
    return [pytest.param(case, case.answer(consumer), id=case.name.replace(" ", "-")) for case in CASES]


def attributes(
    authority: AttributeAuthority,
    holder: Credential,
    *fqans: str,
    now: datetime | None = None,
    lifetime: timedelta = HOUR,
    generic: Sequence[GenericAttribute] = (),
    targets: Sequence[str] = (),
) -> AttributeCertificate:
    """Let an authority say that the owner of an end-entity certificate has these FQANs."""
    return authority.issue(
        holder.leaf,
        [Fqan.parse(fqan) for fqan in fqans],
        now=now or datetime.now(UTC),
        lifetime=lifetime,
        attributes=generic,
        targets=targets,
    )


def voms_proxy(parent: Credential, *certificates: AttributeCertificate, kind: ProxyKind = ProxyKind.FULL) -> Credential:
    """Make a proxy that carries attribute certificates, as the library does."""
    own = another_key(KeyKind.RSA_2048, parent)
    leaf = issue_proxy(
        parent.leaf,
        key_of(parent),
        own.public_key(),
        now=datetime.now(UTC),
        lifetime=HOUR,
        kind=kind,
        attribute_certificates=certificates,
    )
    return Credential((leaf, *parent.chain), own)


def forged_proxy(parent: Credential, certificate: AttributeCertificate) -> Credential:
    """Make a proxy that carries an attribute certificate which the library would not put into it."""
    proxy = delegate(parent)
    leaf = resigned(proxy.leaf, key_of(parent), encode_extension([certificate]), critical=False)
    return Credential((leaf, *parent.chain), proxy.key)


def _jane(site: Site) -> Credential:
    return end_entity(site.ca, JANE)


def _with(*fqans: str, kind: ProxyKind = ProxyKind.FULL, eec: KeyKind = KeyKind.P_256) -> Make:
    def make(site: Site) -> bytes:
        jane = end_entity(site.ca, JANE, eec)
        return voms_proxy(jane, attributes(site.cms, jane, *fqans), kind=kind).to_pem()

    return make


def _of_both_vos(*, cms_first: bool) -> Make:
    def make(site: Site) -> bytes:
        jane = _jane(site)
        both = [attributes(site.cms, jane, "/cms"), attributes(site.atlas, jane, "/atlas")]
        return voms_proxy(jane, *(both if cms_first else reversed(both))).to_pem()

    return make


def _only_atlas(site: Site) -> bytes:
    jane = _jane(site)
    return voms_proxy(jane, attributes(site.atlas, jane, "/atlas")).to_pem()


def _with_generic_attributes(site: Site) -> bytes:
    jane = _jane(site)
    nickname = GenericAttribute("nickname", "jane", "cms")
    return voms_proxy(jane, attributes(site.cms, jane, "/cms", generic=[nickname])).to_pem()


def _delegated(kind: ProxyKind) -> Make:
    """Make a proxy without attributes below the one with them."""

    def make(site: Site) -> bytes:
        jane = _jane(site)
        return delegate(voms_proxy(jane, attributes(site.cms, jane, "/cms")), kind).to_pem()

    return make


def _below_a_proxy(site: Site) -> bytes:
    """Make a proxy with attributes below one without them, as voms-proxy-init -noregen does."""
    jane = _jane(site)
    return voms_proxy(delegate(jane), attributes(site.cms, jane, "/cms")).to_pem()


def _for_targets(*hosts: str) -> Make:
    def make(site: Site) -> bytes:
        jane = _jane(site)
        return voms_proxy(jane, attributes(site.cms, jane, "/cms", targets=hosts)).to_pem()

    return make


def _at(offset: timedelta) -> Make:
    """Make an attribute certificate of another time, in a proxy of today."""

    def make(site: Site) -> bytes:
        jane = end_entity(site.ca, JANE, now=datetime.now(UTC) - DAY, lifetime=3 * DAY)
        return forged_proxy(jane, attributes(site.cms, jane, "/cms", now=datetime.now(UTC) + offset)).to_pem()

    return make


def _stolen(site: Site) -> bytes:
    """Put what the authority said of jane into joe's proxy."""
    return forged_proxy(end_entity(site.ca, JOE), attributes(site.cms, _jane(site), "/cms")).to_pem()


def _of_another_certificate(site: Site) -> bytes:
    """Put what the authority said of jane's earlier certificate into a proxy below her present one."""
    return forged_proxy(_jane(site), attributes(site.cms, _jane(site), "/cms")).to_pem()


def _stolen_with_chain(site: Site) -> bytes:
    """Put jane's certificates, which are no secret, behind joe's proxy with her attributes."""
    jane, joe = _jane(site), end_entity(site.ca, JOE)
    proxy = forged_proxy(joe, attributes(site.cms, jane, "/cms"))
    return Credential((*proxy.chain, *jane.chain), proxy.key).to_pem()


def _by(authority: Callable[[Site], AttributeAuthority]) -> Make:
    """Make a proxy with `/cms` by somebody who has no say in it."""

    def make(site: Site) -> bytes:
        jane = _jane(site)
        return voms_proxy(jane, attributes(authority(site), jane, "/cms")).to_pem()

    return make


def _impostor(site: Site) -> AttributeAuthority:
    """An authority of the same name, whose certificate is of a CA that nobody trusts."""
    return attribute_authority(site.untrusted_ca, "cms")


@dataclass(frozen=True)
class _Presenting(AttributeAuthority):
    """An authority that presents another certificate of its key than the one that it signs by."""

    presented: x509.Certificate

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        return (self.presented,)


def _expired(site: Site) -> AttributeAuthority:
    """The authority with a certificate that has ended, where it would itself sign nothing any more."""
    own = key_of(site.cms.credential)
    name = DistinguishedName(site.cms.certificate.subject)
    ended = site.ca.issue_eec(name, own.public_key(), now=datetime.now(UTC) - 3 * HOUR, lifetime=HOUR)
    return _Presenting(site.cms.credential, site.cms.vo, site.cms.host, site.cms.port, ended)


def _another_host(site: Site) -> AttributeAuthority:
    """An authority with a good certificate, of which the VO's `.lsc` files do not know."""
    return attribute_authority(site.ca, "cms", "voms.elsewhere.example")


def _another_host_by_the_same_name(site: Site) -> AttributeAuthority:
    """The same, under the host name whose `.lsc` file is there: the names in it are not the signer's."""
    return replace(_another_host(site), host=site.cms.host)


def _another_vo(site: Site) -> AttributeAuthority:
    """The authority of another VO, which speaks for this one."""
    return replace(site.atlas, vo="cms")


def _altered(site: Site) -> bytes:
    """Write another VO's name into what the authority signed."""
    jane = _jane(site)
    signed = attributes(replace(site.cms, vo="cmt"), jane, "/cmt")
    return forged_proxy(jane, replace(signed, der=signed.der.replace(b"cmt", b"cms"))).to_pem()


def _signature_tampered(site: Site) -> bytes:
    jane = _jane(site)
    signed = attributes(site.cms, jane, "/cms")
    return forged_proxy(jane, replace(signed, der=signed.der[:-1] + bytes([signed.der[-1] ^ 1]))).to_pem()


def _signed_with_another_key(site: Site) -> bytes:
    """Sign with a key of one's own what carries the authority's certificate."""
    jane = _jane(site)
    signed = attributes(site.cms, jane, "/cms")
    own = rsa.generate_private_key(65537, 2048)
    forged = signed.der.replace(signed.signature, signatures.sign(own, signed.signed))
    return forged_proxy(jane, replace(signed, der=forged)).to_pem()


CASES = (
    Case("group", _with("/cms"), EVERYBODY),
    Case("role first", _with("/cms/Role=production", "/cms"), EVERYBODY),
    Case("several FQANs", _with("/cms", "/cms/heavy", "/cms/heavy/Role=pilot", "/cms/Role=production"), EVERYBODY),
    Case("group second", _with("/cms/heavy", "/cms"), EVERYBODY),
    Case("EEC RSA", _with("/cms", eec=KeyKind.RSA_2048), EVERYBODY),
    Case("generic attributes", _with_generic_attributes, EVERYBODY),
    Case("two VOs", _of_both_vos(cms_first=True), EVERYBODY),
    Case("two VOs, other first", _of_both_vos(cms_first=False), EVERYBODY),
    Case("limited", _with("/cms", kind=ProxyKind.LIMITED), EVERYBODY),
    Case("delegated", _delegated(ProxyKind.FULL), EVERYBODY),
    Case("delegated limited", _delegated(ProxyKind.LIMITED), EVERYBODY),
    Case("below a proxy", _below_a_proxy, EVERYBODY),
    Case("target", _for_targets("elsewhere.example", *HERE), EVERYBODY),
    Case("target elsewhere", _for_targets("elsewhere.example"), _ARC_AS_WELL),
    Case("none", lambda site: delegate(_jane(site)).to_pem(), NOBODY),
    Case("other group", _with("/cms/heavy"), NOBODY),
    Case("other VO", _only_atlas, NOBODY),
    Case("expired", _at(-3 * HOUR), _PRINTED),
    Case("not yet valid", _at(HOUR), _PRINTED),
    Case("stolen", _stolen, _PRINTED),
    Case("stolen, with chain", _stolen_with_chain, _PRINTED, unshown_by=frozenset({XROOTD_GSI})),
    Case("of an earlier certificate", _of_another_certificate, _ARC_AS_WELL),
    Case("signer's CA untrusted", _by(_impostor), _PRINTED),
    Case("signer expired", _by(_expired), _ARC_AS_WELL),
    Case("signer without lsc", _by(_another_host), _ARC_AS_WELL),
    Case("signer not in lsc", _by(_another_host_by_the_same_name), _ARC_AS_WELL),
    Case("signer of another VO", _by(_another_vo), _ARC_AS_WELL),
    Case("content altered", _altered, _PRINTED),
    Case("signature tampered", _signature_tampered, _PRINTED),
    Case("signed with another key", _signed_with_another_key, _PRINTED),
)
