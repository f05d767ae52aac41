"""Trust directories: the files that consumers look CAs up in (``X509_CERT_DIR``).

For each CA and for both of OpenSSL's subject hashes (the new one, and the one of OpenSSL before 1.0, which old Globus
still asks for): ``HASH.N`` the certificate, ``HASH.signing_policy`` and ``HASH.namespaces`` what it may sign,
``HASH.rN`` its CRL.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.name import _ASN1Type

from proxy_gen.errors import CredentialFileError
from proxy_gen.names import DistinguishedName, text_of

# the types that OpenSSL folds when it makes a name canonical (ASN1_MASK_CANON); others are hashed as they are
_FOLDED_TYPES = frozenset(
    {
        _ASN1Type.UTF8String,
        _ASN1Type.BMPString,
        _ASN1Type.UniversalString,
        _ASN1Type.PrintableString,
        _ASN1Type.T61String,
        _ASN1Type.IA5String,
        _ASN1Type.VisibleString,
    }
)
_ASCII_SPACE = " \t\n\v\f\r"
_CERTIFICATE_FILE = re.compile(r"[0-9a-f]{8}\.[0-9]{1,2}\Z")


@dataclass(frozen=True)
class TrustedAuthority:
    """A CA as consumers are to trust it.

    ``subjects`` are the names that it may sign, in slash form; a trailing ``*`` stands for anything.
    """

    certificate: x509.Certificate
    subjects: tuple[str, ...]
    crl: x509.CertificateRevocationList | None = None


@dataclass(frozen=True)
class TrustAnchors:
    """The CA certificates that a verifier trusts, by subject."""

    by_subject: Mapping[x509.Name, tuple[x509.Certificate, ...]]

    @classmethod
    def of(cls, certificates: Iterable[x509.Certificate]) -> TrustAnchors:
        """Trust these certificates. Raises :class:`CredentialFileError` (``trust_malformed``) for unreadable names."""
        by_subject: dict[x509.Name, tuple[x509.Certificate, ...]] = {}
        for certificate in dict.fromkeys(certificates):
            if not _is_readable(certificate):
                raise CredentialFileError("trust_malformed", "a trusted certificate's subject or issuer is malformed")
            by_subject[certificate.subject] = (*by_subject.get(certificate.subject, ()), certificate)
        return cls(by_subject)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> TrustAnchors:
        """Trust the certificates in the ``HASH.N`` files of a trust directory, given as name -> content.

        Raises :class:`CredentialFileError` (``trust_malformed``) naming the file that holds no certificate.
        """
        certificates: list[x509.Certificate] = []
        for name in sorted(filter(_CERTIFICATE_FILE.match, files)):
            try:
                found = x509.load_pem_x509_certificates(files[name])
            except (ValueError, x509.InvalidVersion):
                raise CredentialFileError("trust_malformed", f"{name} holds no PEM certificate") from None
            if not all(map(_is_readable, found)):
                raise CredentialFileError("trust_malformed", f"{name} has a malformed subject or issuer")
            certificates += found
        return cls.of(certificates)

    def issuers_of(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """Return the anchors with the name of this certificate's issuer."""
        return self.by_subject.get(certificate.issuer, ())


def _is_readable(certificate: x509.Certificate) -> bool:
    """Tell whether the names, which are decoded on first use, can be decoded."""
    try:
        certificate.subject, certificate.issuer  # noqa: B018
    except (ValueError, TypeError):
        return False
    return True


def is_certificate_file(name: str) -> bool:
    """Tell whether a file of a trust directory is a CA certificate by its name."""
    return _CERTIFICATE_FILE.match(name) is not None


def trust_directory(authorities: Iterable[TrustedAuthority]) -> dict[str, bytes]:
    """Return the files of a trust directory, name -> content. CAs of one subject are numbered in their order."""
    by_digest: dict[str, list[TrustedAuthority]] = {}
    for authority in authorities:
        name = authority.certificate.subject
        for digest in dict.fromkeys([subject_hash(name), subject_hash_old(name)]):
            by_digest.setdefault(digest, []).append(authority)
    return {name: content for digest, group in by_digest.items() for name, content in _files_of(digest, group)}


def subject_hash(name: x509.Name) -> str:
    """OpenSSL's ``-subject_hash``: of the canonical name (``x509_name_canon`` in crypto/x509/x_name.c)."""
    # SHA-1 and MD5 are names of files here; nothing rests on their strength
    return _first_word(hashlib.sha1(_canonical_der(name), usedforsecurity=False).digest())


def subject_hash_old(name: x509.Name) -> str:
    """OpenSSL's ``-subject_hash_old``: of the name's DER."""
    return _first_word(hashlib.md5(name.public_bytes(), usedforsecurity=False).digest())


def _first_word(digest: bytes) -> str:
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _canonical_der(name: x509.Name) -> bytes:
    """Return the RDNs one after the other, without the outer SEQUENCE, strings folded to lower-case UTF8String."""
    out = bytearray()
    for rdn in name.rdns:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lengths do not matter here
            attributes = [_fold(attribute) for attribute in rdn]
        folded = x509.Name([x509.RelativeDistinguishedName(attributes)]).public_bytes()
        header = 2 if folded[1] < 0x80 else 2 + (folded[1] & 0x7F)  # noqa: PLR2004 - X.690 section 8.1.3
        out += folded[header:]
    return bytes(out)


def _fold(attribute: x509.NameAttribute[str | bytes]) -> x509.NameAttribute[str | bytes]:
    if attribute._type not in _FOLDED_TYPES or not isinstance(attribute.value, str):
        return attribute
    text = re.sub(f"[{_ASCII_SPACE}]+", " ", text_of(attribute).strip(_ASCII_SPACE))
    lowered = "".join(character.lower() if character.isascii() else character for character in text)
    return x509.NameAttribute(attribute.oid, lowered, _type=_ASN1Type.UTF8String, _validate=False)


def _files_of(digest: str, group: Sequence[TrustedAuthority]) -> Iterator[tuple[str, bytes]]:
    subjects: dict[str, list[str]] = {}
    for number, authority in enumerate(group):
        yield f"{digest}.{number}", authority.certificate.public_bytes(serialization.Encoding.PEM)
        subjects.setdefault(DistinguishedName(authority.certificate.subject).slash, []).extend(authority.subjects)
    # consumers read one policy for a hash, and CRLs from .r0 on until a number is missing
    policies = [(subject, list(dict.fromkeys(signed))) for subject, signed in subjects.items()]
    yield f"{digest}.signing_policy", b"\n".join(_signing_policy(*policy) for policy in policies)
    yield f"{digest}.namespaces", b"\n".join(_namespaces(*policy) for policy in policies)
    for number, crl in enumerate(authority.crl for authority in group if authority.crl is not None):
        yield f"{digest}.r{number}", crl.public_bytes(serialization.Encoding.PEM)


def _signing_policy(subject: str, subjects: Iterable[str]) -> bytes:
    """Globus's EACL (ca-signing-policy): patterns with ``*``, in double quotes within single quotes."""
    patterns = " ".join(f'"{pattern}"' for pattern in (subject, *subjects))
    lines = [
        f"access_id_CA   X509    '{subject}'",
        "pos_rights     globus  CA:sign",
        f"cond_subjects  globus  '{patterns}'",
    ]
    return ("\n".join(lines) + "\n").encode()


def _namespaces(subject: str, subjects: Iterable[str]) -> bytes:
    """EUGridPMA's namespaces file: the subjects are regular expressions there."""
    lines = [f'TO Issuer "{subject}" \\\n  PERMIT Subject "{_as_regex(pattern)}"' for pattern in (subject, *subjects)]
    return ("\n".join(lines) + "\n").encode()


def _as_regex(pattern: str) -> str:
    stem = pattern.removesuffix("*")
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", stem) + (".*" if stem != pattern else "")
