"""Two VOs with an authority each, somebody with a proxy, and what the verifier says of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import pytest
from cryptography import x509

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.errors import VerificationError
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import AttributeCertificate, GenericAttribute
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.verify import verify_attributes
from proxy_gen.voms.vomsdir import VomsTrust, vomsdir
from tests.proxy_gen.chains import DAY, HOUR, NOW, TOP, Delegation, authority, path
from tests.proxy_gen.forge import Path, load
from tests.proxy_gen.keyring import key

PORT = 15000
# numbers in the key ring that other tests do not use
CMS_KEY, ATLAS_KEY, FOREIGN_KEY = 70, 71, 72


@cache
def vo_authority(vo: str = "cms", number: int = CMS_KEY, ca: CertificateAuthority | None = None) -> AttributeAuthority:
    """Return a VO's authority, whose certificate was made a day ago and lives for another week."""
    host, own = f"voms.{vo}.example", key(KeyKind.RSA_2048, number)
    name = DistinguishedName.parse(f"{TOP}/CN={host}")
    issuer = ca or authority()
    certificate = issuer.issue_eec(name, own.public_key(), now=NOW - DAY, lifetime=8 * DAY)
    return AttributeAuthority(Credential((certificate,), own), vo, host, PORT)


CMS, ATLAS = vo_authority(), vo_authority("atlas", ATLAS_KEY)
TRUST = TrustAnchors.of([authority().certificate])
VOMS = VomsTrust.from_files(vomsdir([CMS, ATLAS]))
FQANS = tuple(map(Fqan.parse, ["/cms", "/cms/Role=production", "/cms/heavy/Role=pilot"]))


@cache
def jane() -> Path:
    """Return the path of Jane's proxy: proxy, end entity, CA."""
    return path([Delegation()])


@cache
def joe() -> Path:
    return path([Delegation()], identity=DistinguishedName.parse(f"{TOP}/OU=People/CN=Joe"))


def end_entity(links: Path) -> x509.Certificate:
    """Return the end-entity certificate of a path that has one CA."""
    return load(links.links[-2].draft.sign(links.links[-1].key))


def issued(
    holder: Path | None = None,
    by: AttributeAuthority = CMS,
    fqans: Sequence[Fqan] | None = None,
    *,
    now: datetime = NOW,
    attributes: Sequence[GenericAttribute] = (),
    targets: Sequence[str] = (),
) -> AttributeCertificate:
    """Let an authority say that the owner of a path has FQANs."""
    asked = FQANS if by.vo == "cms" and fqans is None else fqans or [Fqan(f"/{by.vo}")]
    owner = end_entity(holder or jane())
    return by.issue(owner, asked, now=now, lifetime=HOUR, attributes=attributes, targets=targets)


def verified(
    links: Path,
    *,
    voms: VomsTrust = VOMS,
    trust: TrustAnchors = TRUST,
    now: datetime = NOW,
    host: str | None = None,
) -> tuple[AttributeCertificate, ...]:
    """Verify a path, which must hold, and its attribute certificates."""
    chain = [load(certificate) for certificate in links.signed()[:-1]]
    return verify_attributes(chain, verify(chain, trust, now), voms, trust, now, host=host)


def refused(links: Path, **how: object) -> tuple[str, int]:
    """Return code and depth with which the attributes of a path are refused."""
    with pytest.raises(VerificationError) as error:
        verified(links, **how)  # type: ignore[arg-type]
    assert str(error.value).isprintable()
    return error.value.code, error.value.depth
