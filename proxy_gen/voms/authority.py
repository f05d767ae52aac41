"""The attribute authority (AA): signs attribute certificates in the one shape that every measured consumer takes.

The recipe: an RSA signer; the holder named by its certificate's *subject* and serial (ARC refuses the RFC's issuer and
serial); authority key identifier, noRevAvail and the signer's certificates as extensions; a policy authority with a
port (XRootD and LCMAPS want it); FQANs in their long form.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy_gen.ca import validity_within
from proxy_gen.certificate_rules import require_end_entity, require_sound
from proxy_gen.credential import Credential
from proxy_gen.errors import AttributeCertificateError, IssuanceError, VerificationError
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import proxy_cert_info
from proxy_gen.voms import signatures
from proxy_gen.voms.certificate import (
    MAX_CERTIFICATE_BYTES,
    MAX_FQANS,
    MAX_SERIAL_BITS,
    AttributeCertificate,
    GenericAttribute,
)
from proxy_gen.voms.extensions import MAX_ATTRIBUTES, MAX_TARGETS
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.general_names import directory_name, uri
from proxy_gen.voms.key_id import key_identifier
from proxy_gen.voms.policy_authority import PolicyAuthority, is_host
from proxy_gen.voms.structures import (
    AUTHORITY_KEY_IDENTIFIER,
    FQANS,
    GENERIC_ATTRIBUTES,
    NO_REVOCATION_AVAILABLE,
    SIGNER_CERTIFICATES,
    TARGETS,
    VERSION_2,
    Algorithm,
    Attribute,
    Extension,
    GenericAttributeGroup,
    GenericAttributeList,
    GenericAttributeValue,
    Holder,
    IetfAttribute,
    Information,
    IssuerSerial,
    KeyIdentifier,
    SignedCertificate,
    SignerChain,
    Target,
    TargetList,
    V2Form,
    Validity,
)

# RFC 5280 section 4.1.2.2 allows 20 octets
_SERIAL_BITS = 159
_ALGORITHM = Algorithm(oid=signatures.RSA_ALGORITHM, parameters=asn1.Null())


@dataclass(frozen=True)
class AttributeAuthority:
    """A VO's authority: its host certificate (the chain may follow) with an RSA key, under ``host``:``port``.

    Raises :class:`AttributeCertificateError` (``aa_unfit``) for what consumers would not take from it.
    """

    credential: Credential
    vo: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if not isinstance(self.credential.key, rsa.RSAPrivateKey):
            raise AttributeCertificateError("aa_unfit", "an attribute authority needs its private key, and an RSA one")
        try:
            self._policy_authority  # noqa: B018 - made on first use, which is here
        except ValueError:
            raise AttributeCertificateError(
                "aa_unfit", "the authority's VO, host or port is not of the form vo://host:port"
            ) from None
        self._require_signer()

    def _require_signer(self) -> None:
        """RFC 5755 section 4.5: the signer is an end entity that may sign, no CA; and no proxy."""
        try:
            require_sound(self.certificate, 0)
            require_end_entity(self.certificate, 0)
            is_proxy = proxy_cert_info(self.certificate) is not None
        except (VerificationError, ValueError) as error:
            raise AttributeCertificateError("aa_unfit", f"the authority's certificate: {error}") from None
        if is_proxy:
            raise AttributeCertificateError("aa_unfit", "an attribute authority signs with a certificate, not a proxy")
        if self._key_id is None:
            raise AttributeCertificateError(
                "aa_unfit", "the subject key identifier is not the SHA-1 of the key, which VOMS compares it with"
            )

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that its signatures verify with."""
        return self.credential.leaf

    @cached_property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What consumers are sent, and match against an `.lsc` file: the certificates below the root."""
        return tuple(c for c in self.credential.chain if c.issuer != c.subject)

    def issue(
        self,
        holder: x509.Certificate,
        fqans: Sequence[Fqan],
        *,
        now: datetime,
        lifetime: timedelta,
        attributes: Sequence[GenericAttribute] = (),
        targets: Sequence[str] = (),
    ) -> AttributeCertificate:
        """Sign that the holder of an end-entity certificate has these FQANs, the first being the primary one.

        ``targets`` are the hosts that may make use of it (all, when empty). It never outlives the authority's own
        certificate. Raises :class:`AttributeCertificateError` (``ac_request``), and
        :class:`proxy_gen.errors.IssuanceError` as :func:`proxy_gen.ca.validity_within`.
        """
        self._require_sayable(fqans, attributes, targets)
        not_before, not_after = validity_within(self.certificate, now=now, lifetime=lifetime)
        distinct, serial = tuple(dict.fromkeys(fqans)), secrets.randbits(_SERIAL_BITS) | 1
        information = Information(
            version=VERSION_2,
            holder=Holder(certificate=_named(holder)),
            issuer=self._issuer,
            signature=_ALGORITHM,
            serial=serial,
            validity=Validity(not_before=asn1.GeneralizedTime(not_before), not_after=asn1.GeneralizedTime(not_after)),
            attributes=[self._fqan_attribute(distinct)],
            issuer_uid=None,
            extensions=[*self._optional(attributes, targets), *self._always],
        )
        signed = asn1.encode_der(information)
        signature = signatures.sign(self._key, signed)
        der = _assembled(signed, signature)
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise AttributeCertificateError("ac_request", "more is asked for than an attribute certificate may hold")
        return AttributeCertificate(
            der=der,
            holder_name=DistinguishedName(holder.subject),
            holder_serial=holder.serial_number,
            issuer=DistinguishedName(self.certificate.subject),
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            vo=self.vo,
            host=self.host,
            port=self.port,
            fqans=distinct,
            attributes=tuple(attributes),
            targets=tuple(targets) or None,
            chain=self.chain,
            authority_key_id=self._key_id,
            is_final=True,
            algorithm=signatures.RSA_ALGORITHM,
            signature=signature,
            signed=signed,
        )

    def _require_sayable(
        self, fqans: Sequence[Fqan], attributes: Sequence[GenericAttribute], targets: Sequence[str]
    ) -> None:
        if not 0 < len(fqans) <= MAX_FQANS:
            raise AttributeCertificateError("ac_request", f"between 1 and {MAX_FQANS} FQANs must be asked for")
        if any(fqan.vo != self.vo for fqan in fqans):
            raise AttributeCertificateError("ac_request", f"an FQAN is not of the VO '{self.vo}'")
        if len(attributes) > MAX_ATTRIBUTES or not all(one.is_sayable for one in attributes):
            raise AttributeCertificateError("ac_request", "a generic attribute is too long or has control characters")
        if len(targets) > MAX_TARGETS or not all(map(is_host, targets)):
            raise AttributeCertificateError("ac_request", f"a target is no host's name, or more than {MAX_TARGETS} are")

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        if not isinstance(self.credential.key, rsa.RSAPrivateKey):
            raise TypeError("checked when the authority was made")
        return self.credential.key

    @cached_property
    def _policy_authority(self) -> PolicyAuthority:
        return PolicyAuthority(self.vo, self.host, self.port)

    @cached_property
    def _key_id(self) -> bytes | None:
        return key_identifier(self.certificate)

    @cached_property
    def _issuer(self) -> V2Form:
        return V2Form(names=[directory_name(self.certificate.subject)])

    @cached_property
    def _uri(self) -> asn1.TLV:
        return uri(self._policy_authority.uri)

    def _fqan_attribute(self, fqans: Sequence[Fqan]) -> Attribute:
        octets = [fqan.long.encode() for fqan in fqans]
        value = asn1.encode_der(IetfAttribute(authority=[self._uri], values=octets))
        return Attribute(type=FQANS, values=asn1.SetOf([asn1.decode_der(asn1.TLV, value)]))

    def _optional(self, attributes: Sequence[GenericAttribute], targets: Sequence[str]) -> list[Extension]:
        extensions = []
        if targets:
            listed = TargetList(targets=[Target(name=uri(target)) for target in targets])
            # RFC 5755 section 4.3.2: whoever does not know it must not take the certificate
            extensions.append(Extension(oid=TARGETS, critical=True, value=asn1.encode_der(listed)))
        if attributes:
            group = GenericAttributeGroup(authority=[self._uri], attributes=[_generic(one) for one in attributes])
            value = asn1.encode_der(GenericAttributeList(groups=[group]))
            extensions.append(Extension(oid=GENERIC_ATTRIBUTES, critical=False, value=value))
        return extensions

    @cached_property
    def _always(self) -> tuple[Extension, ...]:
        values = {
            SIGNER_CERTIFICATES: SignerChain(certificates=list(self.chain)),
            AUTHORITY_KEY_IDENTIFIER: KeyIdentifier(key_id=self._key_id, issuer=None, serial=None),
        }
        encoded = {oid: asn1.encode_der(value) for oid, value in values.items()}
        encoded[NO_REVOCATION_AVAILABLE] = asn1.encode_der(asn1.Null())
        return tuple(Extension(oid=oid, critical=False, value=value) for oid, value in encoded.items())


def _assembled(signed: bytes, signature: bytes) -> bytes:
    return asn1.encode_der(
        SignedCertificate(
            information=asn1.decode_der(asn1.TLV, signed),
            algorithm=_ALGORITHM,
            signature=asn1.BitString(signature, 0),
        )
    )


def _generic(one: GenericAttribute) -> GenericAttributeValue:
    return GenericAttributeValue(name=one.name.encode(), value=one.value.encode(), qualifier=one.qualifier.encode())


def _named(holder: x509.Certificate) -> IssuerSerial:
    try:
        name = directory_name(holder.subject)
    except (ValueError, TypeError):
        raise IssuanceError("holder_malformed", "the holder's certificate has a malformed subject") from None
    if holder.serial_number.bit_length() > MAX_SERIAL_BITS:
        raise IssuanceError("holder_malformed", "the holder's certificate has a serial number without bounds")
    return IssuerSerial(issuer=[name], serial=holder.serial_number, issuer_uid=None)
