"""Trust directories: the files that consumers look CAs up in (``X509_CERT_DIR``).

For each CA and for both of OpenSSL's subject hashes (the new one, and the one of OpenSSL before 1.0, which old Globus
still asks for): ``HASH.N`` the certificate, ``HASH.signing_policy`` and ``HASH.namespaces`` what it may sign,
``HASH.rN`` its CRL.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy_gen.crl import parse_crl
from proxy_gen.errors import CredentialFileError
from proxy_gen.names import DistinguishedName
from proxy_gen.namespaces import Namespaces, namespaces_file
from proxy_gen.signing_policy import SigningPolicy, signing_policy_file

_CERTIFICATE_FILE = re.compile(r"([0-9a-f]{8})\.[0-9]{1,2}\Z")
_MAX_OF_ONE_HASH = 100
_CRL_FILE = re.compile(r"([0-9a-f]{8})\.r[0-9]{1,2}\Z")
_POLICY_FILE = re.compile(r"[0-9a-f]{8}\.(signing_policy|namespaces)\Z")


@dataclass(frozen=True)
class TrustedAuthority:
    """A CA as consumers are to trust it.

    ``subjects`` are the names that it may sign, in slash form; a trailing ``*`` stands for anything.
    """

    certificate: x509.Certificate
    subjects: tuple[str, ...]
    crl: x509.CertificateRevocationList | None = None


@dataclass(frozen=True)
class Restrictions:
    """What a trust directory has for the CAs of one name, beside their certificates.

    The properties are read on first use, for a directory has hundreds of CAs. They raise :class:`CredentialFileError`
    for a malformed file.
    """

    crl_files: tuple[bytes, ...] = ()
    signing_policy_file: bytes | None = None
    namespaces_file: bytes | None = None

    @cached_property
    def crls(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The CRLs, of whatever issuer."""
        return tuple(map(parse_crl, self.crl_files))

    @cached_property
    def signing_policy(self) -> SigningPolicy | None:
        """Globus's policy, or None where there is none."""
        return None if self.signing_policy_file is None else SigningPolicy.parse(self.signing_policy_file)

    @cached_property
    def namespaces(self) -> Namespaces | None:
        """EUGridPMA's namespaces, or None where there are none."""
        return None if self.namespaces_file is None else Namespaces.parse(self.namespaces_file)


@dataclass(frozen=True)
class TrustAnchors:
    """The CA certificates that a verifier trusts, by subject, and what restricts them.

    ``restrictions`` is None for certificates that were trusted without a directory: they may sign any name then.
    ``require_crls`` refuses what no CRL can clear, as ``openssl verify -crl_check_all`` does. ``malformed`` are the
    files that hold no certificate, by the hash that they would be looked up under.
    """

    by_subject: Mapping[x509.Name, tuple[x509.Certificate, ...]]
    restrictions: Mapping[x509.Name, Restrictions] | None = None
    require_crls: bool = False
    malformed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, certificates: Iterable[x509.Certificate]) -> TrustAnchors:
        """Trust these certificates. Raises :class:`CredentialFileError` (``trust_malformed``) for unreadable names."""
        by_subject: dict[x509.Name, tuple[x509.Certificate, ...]] = {}
        for certificate in dict.fromkeys(certificates):
            if not _is_readable(certificate):
                raise CredentialFileError("trust_malformed", "a trusted certificate's name or time is malformed")
            by_subject[certificate.subject] = (*by_subject.get(certificate.subject, ()), certificate)
        return cls(by_subject)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, require_crls: bool = False) -> TrustAnchors:
        """Trust a directory, given as name -> content: ``HASH.N``, ``.rN``, ``.signing_policy`` and ``.namespaces``.

        It is read as OpenSSL reads it: a CA counts under its subject's hash alone, numbered from 0 without a gap, up
        to a file that is none. What is wrong with a file is told when a chain needs it.
        """
        certificates: list[x509.Certificate] = []
        malformed: dict[str, str] = {}
        for digest in sorted({found[1] for name in files if (found := _CERTIFICATE_FILE.match(name))}):
            for number in range(_MAX_OF_ONE_HASH):
                name = f"{digest}.{number}"
                if name not in files:
                    break
                parsed = _parsed(files[name])
                if parsed is None:
                    malformed[digest] = name
                    break
                certificates += [each for each in parsed if subject_hash(each.subject) == digest]
        by_subject = cls.of(certificates).by_subject
        return cls(by_subject, {name: _restrictions(name, files) for name in by_subject}, require_crls, malformed)

    def issuers_of(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """Return the anchors with the name of this certificate's issuer."""
        return self.by_subject.get(certificate.issuer, ())

    def restrictions_of(self, authority: x509.Certificate) -> Restrictions | None:
        """Return what restricts this anchor, or None where no directory does."""
        return None if self.restrictions is None else self.restrictions.get(authority.subject)


def _restrictions(name: x509.Name, files: Mapping[str, bytes]) -> Restrictions:
    new, old = subject_hash(name), subject_hash_old(name)
    crls = sorted(file for file in files if (found := _CRL_FILE.match(file)) and found[1] in (new, old))
    # Globus looks for the policy under the new hash only
    return Restrictions(
        tuple(dict.fromkeys(files[file] for file in crls)),
        files.get(f"{new}.signing_policy"),
        files.get(f"{new}.namespaces"),
    )


def _parsed(content: bytes) -> list[x509.Certificate] | None:
    try:
        found = x509.load_pem_x509_certificates(content)
    except (ValueError, x509.InvalidVersion):
        return None
    return found if all(map(_is_readable, found)) else None


def _is_readable(certificate: x509.Certificate) -> bool:
    """Tell whether the names and times, which are decoded on first use, can be decoded."""
    try:
        certificate.subject, certificate.issuer  # noqa: B018
        certificate.not_valid_before_utc, certificate.not_valid_after_utc  # noqa: B018
    except (ValueError, TypeError):
        return False
    return True


def is_trust_file(name: str) -> bool:
    """Tell whether a file of a trust directory matters to :meth:`TrustAnchors.from_files`, by its name."""
    return any(form.match(name) for form in (_CERTIFICATE_FILE, _CRL_FILE, _POLICY_FILE))


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
    return _first_word(hashlib.sha1(DistinguishedName(name).canonical, usedforsecurity=False).digest())


def subject_hash_old(name: x509.Name) -> str:
    """OpenSSL's ``-subject_hash_old``: of the name's DER."""
    return _first_word(hashlib.md5(name.public_bytes(), usedforsecurity=False).digest())


def _first_word(digest: bytes) -> str:
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _files_of(digest: str, group: Sequence[TrustedAuthority]) -> Iterator[tuple[str, bytes]]:
    subjects: dict[str, list[str]] = {}
    for number, authority in enumerate(group):
        yield f"{digest}.{number}", authority.certificate.public_bytes(serialization.Encoding.PEM)
        subjects.setdefault(DistinguishedName(authority.certificate.subject).slash, []).extend(authority.subjects)
    # consumers read one policy for a hash, and CRLs from .r0 on until a number is missing
    policies = [(subject, list(dict.fromkeys(signed))) for subject, signed in subjects.items()]
    yield f"{digest}.signing_policy", signing_policy_file(policies)
    yield f"{digest}.namespaces", namespaces_file(policies)
    for number, crl in enumerate(authority.crl for authority in group if authority.crl is not None):
        yield f"{digest}.r{number}", crl.public_bytes(serialization.Encoding.PEM)
