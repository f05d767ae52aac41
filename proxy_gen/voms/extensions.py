"""The extensions of an attribute certificate: RFC 5755 section 4.3, and VOMS's own."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat import asn1

from proxy_gen.certificate_rules import require_readable
from proxy_gen.credential import MAX_CHAIN
from proxy_gen.errors import AttributeCertificateError
from proxy_gen.voms.general_names import read_uri
from proxy_gen.voms.policy_authority import PolicyAuthority
from proxy_gen.voms.structures import (
    AUTHORITY_KEY_IDENTIFIER,
    GENERIC_ATTRIBUTES,
    NO_REVOCATION_AVAILABLE,
    SIGNER_CERTIFICATES,
    TARGETS,
    Extension,
    GenericAttributeList,
    KeyIdentifier,
    SignerChain,
    TargetList,
)

# What nobody has more of.
MAX_ATTRIBUTES = 1000
MAX_TARGETS = 100
MAX_ATTRIBUTE_CHARACTERS = 1024


@dataclass(frozen=True)
class GenericAttribute:
    """A name and a value that a VO gives its members; ``qualifier`` is the group or VO that it holds for."""

    name: str
    value: str
    qualifier: str

    @property
    def is_sayable(self) -> bool:
        """Whether it can be printed on a line."""
        texts = (self.name, self.value, self.qualifier)
        return all(len(text) <= MAX_ATTRIBUTE_CHARACTERS and text.isprintable() for text in texts)


class Extensions:
    """The extensions of an attribute certificate, each of which may be there once.

    Everything here raises ValueError for what is malformed, and :class:`AttributeCertificateError` for what VOMS
    refuses although RFC 5755 has it.
    """

    def __init__(self, extensions: list[Extension]) -> None:
        self._values = {extension.oid: extension.value for extension in extensions}
        if len(self._values) < len(extensions):
            raise ValueError("an extension is there twice")
        if any(extension.critical and extension.oid != TARGETS for extension in extensions):
            raise AttributeCertificateError("ac_unsupported", "an attribute certificate has a critical extension")

    def is_final(self) -> bool:
        """Tell whether no revocation is published (RFC 5755 section 4.3.6)."""
        value = self._values.get(NO_REVOCATION_AVAILABLE)
        if value is not None:
            asn1.decode_der(asn1.Null, value)
        return value is not None

    def chain(self) -> tuple[x509.Certificate, ...]:
        """Return the signer's certificate and those above it, none when they are not brought along."""
        value = self._values.get(SIGNER_CERTIFICATES)
        if value is None:
            return ()
        certificates = asn1.decode_der(SignerChain, value).certificates
        if not 0 < len(certificates) <= MAX_CHAIN:
            raise ValueError("no certificate of the signer, or more than a chain has")
        for depth, certificate in enumerate(certificates):
            require_readable(certificate, depth)
        return tuple(certificates)

    def generic_attributes(self, authority: PolicyAuthority) -> tuple[GenericAttribute, ...]:
        """Return the generic attributes, which this authority alone may give."""
        value = self._values.get(GENERIC_ATTRIBUTES)
        # voms-server before 1.9 wrote an empty list; the Java library takes no second group, nor do we
        groups = [] if value is None else asn1.decode_der(GenericAttributeList, value).groups
        if not groups:
            return ()
        (group,) = groups
        if read_uri(group.authority) != authority.uri or len(group.attributes) > MAX_ATTRIBUTES:
            raise ValueError("generic attributes of another authority, or more than anybody has")
        found = tuple(
            GenericAttribute(one.name.decode(), one.value.decode(), one.qualifier.decode()) for one in group.attributes
        )
        if not all(one.is_sayable for one in found):
            raise ValueError("a generic attribute with control characters, or too long")
        return found

    def targets(self) -> tuple[str, ...] | None:
        """Return the hosts that may make use of the attributes, None for all."""
        value = self._values.get(TARGETS)
        if value is None:
            return None
        targets = asn1.decode_der(TargetList, value).targets
        if len(targets) > MAX_TARGETS:
            raise ValueError("more targets than anybody names")
        return tuple(read_uri([target.name]) for target in targets)

    def authority_key_id(self) -> bytes | None:
        """Return the identifier of the signer's key, None when it is not there."""
        value = self._values.get(AUTHORITY_KEY_IDENTIFIER)
        return None if value is None else asn1.decode_der(KeyIdentifier, value).key_id
