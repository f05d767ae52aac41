"""Verification of the attribute certificates in a chain: RFC 5755 section 5 with VOMS's rules.

A chain that holds says who somebody is; its attribute certificates say what a VO says of them, and each is verified
on its own: that it was given to this very end entity, by an authority that may speak for that VO.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from proxy_gen.errors import AttributeCertificateError, KeyRefusedError, VerificationError
from proxy_gen.keys import certificate_key
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import VerifiedChain, verify
from proxy_gen.voms import signatures
from proxy_gen.voms.certificate import AttributeCertificate, attribute_certificates
from proxy_gen.voms.vomsdir import VomsTrust


def verify_attributes(
    chain: Sequence[x509.Certificate],
    verified: VerifiedChain,
    voms: VomsTrust,
    trust: TrustAnchors,
    now: datetime,
    *,
    host: str | None = None,
) -> tuple[AttributeCertificate, ...]:
    """Return the attribute certificates of a chain, all of which hold, those of the leaf first.

    ``verified`` is what :func:`proxy_gen.verify.verify` said of the chain; ``host`` is who asks, for those with
    targets. Raises :class:`VerificationError` with a stable code (``ac_...``) and the depth of the certificate that
    carries the one at fault: one that does not hold is a forgery or a theft, so nothing beside it counts either.
    """
    held: list[AttributeCertificate] = []
    for depth, certificate in enumerate(chain):
        try:
            found = attribute_certificates(certificate)
        except AttributeCertificateError as error:
            raise VerificationError(error.code, depth, str(error)) from None
        for each in found:
            _verify_one(_At(each, depth, now), verified.end_entity, voms, trust, host)
            held.append(each)
    return tuple(held)


class _At:
    """An attribute certificate with the place and the time at which it is looked at."""

    def __init__(self, certificate: AttributeCertificate, depth: int, now: datetime) -> None:
        self.certificate = certificate
        self.depth = depth
        self.now = now

    def require(self, holds: bool, code: str, message: str) -> None:  # noqa: FBT001 - a condition
        if not holds:
            raise VerificationError(code, self.depth, f"attribute certificate of VO '{self.certificate.vo}': {message}")


def _verify_one(at: _At, end_entity: x509.Certificate, voms: VomsTrust, trust: TrustAnchors, host: str | None) -> None:
    ac = at.certificate
    names = {DistinguishedName(end_entity.subject).canonical, DistinguishedName(end_entity.issuer).canonical}
    is_holder = ac.holder_serial == end_entity.serial_number and ac.holder_name.canonical in names
    at.require(is_holder, "ac_holder", "it was given to another holder")
    at.require(ac.not_before <= at.now, "ac_not_yet_valid", f"valid only from {ac.not_before:%Y-%m-%dT%H:%M:%SZ}")
    at.require(at.now < ac.not_after, "ac_expired", f"expired at {ac.not_after:%Y-%m-%dT%H:%M:%SZ}")
    at.require(ac.serial > 0, "ac_serial", "its serial number is not positive")
    at.require(ac.is_final, "ac_revocation", "it does not say that no revocation is published for it")
    targeted = ac.targets is None or (host is not None and host.lower() in map(str.lower, ac.targets))
    at.require(targeted, "ac_target", "it is for other hosts: " + ", ".join(ac.targets or ()))
    _verify_signer(at, voms, trust)


def _verify_signer(at: _At, voms: VomsTrust, trust: TrustAnchors) -> None:
    ac = at.certificate
    at.require(voms.knows(ac.vo), "ac_vo_unknown", "no authority of this VO is trusted here")
    chain = ac.chain or _signers_by_name(ac, voms)
    at.require(voms.trusts(ac.vo, chain), "ac_untrusted", f"the signer may not speak for it: {ac.issuer.slash}")
    signer = chain[0]
    issued_here = DistinguishedName(signer.subject).canonical == ac.issuer.canonical
    at.require(issued_here, "ac_issuer_mismatch", "its issuer is not the signer that it brings along")
    at.require(_names_key(ac, signer), "ac_key_id", "its authority key identifier is missing, or another key's")
    at.require(signatures.is_strong(ac.algorithm), "ac_signature_weak", "it is signed with a weak or unknown algorithm")
    try:
        key = certificate_key(signer)
        holds = signatures.holds(key, ac.algorithm, ac.signature, ac.signed)
        at.require(holds, "ac_signature", "the signature does not hold with the signer's key")
        at.require(not verify(chain, trust, at.now).proxies, "ac_signer", "the signer is a proxy")
    except KeyRefusedError as error:
        at.require(holds=False, code="ac_signer", message=str(error))
    except VerificationError as error:
        if error.code.startswith("ac_"):
            raise
        at.require(holds=False, code="ac_signer", message=f"the signer does not verify ({error.code}): {error}")


def _signers_by_name(ac: AttributeCertificate, voms: VomsTrust) -> tuple[x509.Certificate, ...]:
    """Return the trusted certificate of the issuer, for an attribute certificate that does not bring it along."""
    known = voms.certificates.get(ac.vo, ())
    return tuple(c for c in known if DistinguishedName(c.subject).canonical == ac.issuer.canonical)[:1]


def _names_key(ac: AttributeCertificate, signer: x509.Certificate) -> bool:
    try:
        own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(certificate_key(signer)).digest
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    return ac.authority_key_id == own
