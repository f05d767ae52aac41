"""Verification of the attribute certificates in a chain: RFC 5755 section 5 with VOMS's rules.

A chain that holds says who somebody is; its attribute certificates say what a VO says of them, and each is verified
on its own: that it was given to this very end entity, by an authority that may speak for that VO.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat import asn1

from proxy_gen.errors import AttributeCertificateError, KeyRefusedError, VerificationError
from proxy_gen.keys import certificate_key
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import VerifiedChain, verify
from proxy_gen.voms import signatures
from proxy_gen.voms.certificate import AttributeCertificate, attribute_certificates
from proxy_gen.voms.general_names import same_name
from proxy_gen.voms.key_id import key_identifier
from proxy_gen.voms.structures import SignedPart
from proxy_gen.voms.vomsdir import VomsTrust

# RFC 5755 section 4.2.5
_MAX_SERIAL_BITS = 160
# of a name or a list in a message
_MAX_SHOWN = 200


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
    # what stands above an independent proxy was not said of its holder
    for depth, each in _carried(chain[: verified.identity_depth + 1]):
        _verify_one(_At(each, depth, now), verified.end_entity, voms, trust, host)
        held.append(each)
    return tuple(held)


def verify_holder_and_time(
    chain: Sequence[x509.Certificate], end_entity: x509.Certificate, now: datetime
) -> tuple[AttributeCertificate, ...]:
    """Return the attribute certificates of a chain after verifying what needs nobody's trust.

    Raises as :func:`verify_attributes`. That it raises nothing says nothing of who signed them.
    """
    held = []
    for depth, each in _carried(chain):
        _verify_content(_At(each, depth, now), end_entity)
        held.append(each)
    return tuple(held)


def _carried(chain: Sequence[x509.Certificate]) -> Iterator[tuple[int, AttributeCertificate]]:
    for depth, certificate in enumerate(chain):
        try:
            found = attribute_certificates(certificate)
        except AttributeCertificateError as error:
            raise VerificationError(error.code, depth, str(error)) from None
        for each in found:
            yield depth, each


def verify_attribute_certificate(
    certificate: AttributeCertificate,
    end_entity: x509.Certificate,
    voms: VomsTrust,
    trust: TrustAnchors,
    now: datetime,
) -> None:
    """Verify one attribute certificate that no proxy carries yet, for its holder ``end_entity``.

    Raises as :func:`verify_attributes`, with depth 0.
    """
    _verify_one(_At(certificate, 0, now), end_entity, voms, trust, None)


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
    _verify_content(at, end_entity)
    ac = at.certificate
    targeted = ac.targets is None or (host is not None and host.lower() in map(str.lower, ac.targets))
    at.require(targeted, "ac_target", "it is for other hosts: " + ", ".join(ac.targets or ())[:_MAX_SHOWN])
    _verify_signer(at, voms, trust)


def _verify_content(at: _At, end_entity: x509.Certificate) -> None:
    ac = at.certificate
    at.require(_is_holder(ac, end_entity), "ac_holder", "it was given to another holder")
    at.require(ac.not_before <= at.now, "ac_not_yet_valid", f"valid only from {ac.not_before:%Y-%m-%dT%H:%M:%SZ}")
    at.require(at.now < ac.not_after, "ac_expired", f"expired at {ac.not_after:%Y-%m-%dT%H:%M:%SZ}")
    fits = 0 < ac.serial < 1 << _MAX_SERIAL_BITS
    at.require(fits, "ac_serial", "its serial number is not positive, or has more than 20 octets")
    at.require(ac.is_final, "ac_revocation", "it does not say that no revocation is published for it")


def _is_holder(ac: AttributeCertificate, end_entity: x509.Certificate) -> bool:
    if ac.holder_serial != end_entity.serial_number:
        return False
    # VOMS compares the issuer's unique identifiers as well, of which a taken attribute certificate has none
    if asn1.decode_der(SignedPart, end_entity.tbs_certificate_bytes).issuer_uid is not None:
        return False
    names = (DistinguishedName(end_entity.subject), DistinguishedName(end_entity.issuer))
    return any(same_name(ac.holder_name, name) for name in names)


def _verify_signer(at: _At, voms: VomsTrust, trust: TrustAnchors) -> None:
    ac = at.certificate
    at.require(ac.vo not in voms.malformed, "vomsdir_malformed", voms.malformed.get(ac.vo, ""))
    at.require(voms.knows(ac.vo), "ac_vo_unknown", "no authority of this VO is trusted here")
    try:
        chain = ac.chain if ac.chain and voms.trusts(ac.vo, ac.host, ac.chain) else _known_signer(at, voms)
        at.require(bool(chain), "ac_untrusted", f"the signer may not speak for it: {ac.issuer.slash[:_MAX_SHOWN]}")
        signer, key = chain[0], certificate_key(chain[0])
        issued_here = same_name(DistinguishedName(signer.subject), ac.issuer)
        at.require(issued_here, "ac_issuer_mismatch", "its issuer is not the signer that it brings along")
        is_named = ac.authority_key_id is not None and ac.authority_key_id == key_identifier(signer)
        at.require(is_named, "ac_key_id", "its authority key identifier is missing, or another key's")
        strong = signatures.is_strong(ac.algorithm)
        at.require(strong, "ac_signature_weak", "it is signed with a weak or unknown algorithm")
        holds = signatures.holds(key, ac.algorithm, ac.signature, ac.signed)
        at.require(holds, "ac_signature", "the signature does not hold with the signer's key")
        at.require(not verify(chain, trust, at.now, as_client=False).proxies, "ac_signer", "the signer is a proxy")
    except KeyRefusedError as error:
        at.require(holds=False, code="ac_signer", message=str(error))
    except VerificationError as error:
        if error.code.startswith("ac_"):
            raise
        at.require(holds=False, code="ac_signer", message=f"the signer does not verify ({error.code}): {error}")


def _known_signer(at: _At, voms: VomsTrust) -> tuple[x509.Certificate, ...]:
    """Return the trusted certificate that an attribute certificate does not bring along: of its issuer and key."""
    ac = at.certificate
    known = () if ac.chain else voms.certificates.get(ac.vo, ())
    named = [c for c in known if same_name(DistinguishedName(c.subject), ac.issuer)]
    found = [c for c in named if key_identifier(c) == ac.authority_key_id] or named
    # one that was renewed with its key is there twice for a while
    valid = [c for c in found if c.not_valid_before_utc <= at.now < c.not_valid_after_utc] or found
    return tuple(valid[:1])
