"""VOMS trust directories (``X509_VOMS_DIR``): which authorities may speak for which VO.

``VO/HOST.lsc`` names an authority by the subjects and issuers of its certificate chain, so that its certificate can be
renewed without anybody's notice; ``VO/*.pem`` is the older way, the certificate itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography import x509

from proxy_gen.certificate_rules import require_readable
from proxy_gen.errors import CredentialFileError, VerificationError
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.policy_authority import HOST_PATTERN, VO_PATTERN

_NEXT_CHAIN = re.compile(r"-+ *NEXT CHAIN *-+\Z")
_MAX_FILE_BYTES = 64 * 1024
_LSC = re.compile(rf"(?P<vo>{VO_PATTERN})/(?P<host>{HOST_PATTERN})\.lsc\Z")
_CERTIFICATE = re.compile(rf"(?P<vo>{VO_PATTERN})/[^/]+\.(?:pem|[0-9]+)\Z")

# one (subject, issuer) for each certificate, the authority's own first; DNs in slash form
LscChain = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VomsTrust:
    """The authorities that are trusted: ``chains`` of `.lsc` files by VO and host, and ``certificates`` by VO.

    ``malformed`` is what is wrong with a file, by VO.
    """

    chains: Mapping[tuple[str, str], tuple[LscChain, ...]]
    certificates: Mapping[str, tuple[x509.Certificate, ...]]
    malformed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> VomsTrust:
        """Read the files of a VOMS trust directory, given as `VO/name` -> content.

        What is wrong with a file is told when its VO is asked for.
        """
        malformed: dict[str, str] = {}
        chains: dict[tuple[str, str], tuple[LscChain, ...]] = {}
        certificates: dict[str, tuple[x509.Certificate, ...]] = {}
        for name in sorted(files):
            try:
                if lsc := _LSC.match(name):
                    chains[lsc["vo"], lsc["host"]] = _chains(name, files[name])
                elif found := _CERTIFICATE.match(name):
                    certificates[found["vo"]] = (*certificates.get(found["vo"], ()), *_certificates(name, files[name]))
            except CredentialFileError as error:
                malformed[name.partition("/")[0]] = str(error)
        return cls(chains, certificates, malformed)

    def knows(self, vo: str) -> bool:
        """Tell whether any authority is trusted to speak for a VO."""
        return bool(self.certificates.get(vo)) or any(
            known == vo and chains for (known, _), chains in self.chains.items()
        )

    def trusts(self, vo: str, host: str, chain: tuple[x509.Certificate, ...]) -> bool:
        """Tell whether a signer with this chain, its own certificate first, may speak for a VO under a host's name.

        Where there is an `.lsc` file for the host, it alone says so, as for VOMS.
        """
        known = self.chains.get((vo, host))
        if known is None:
            return chain[0] in self.certificates.get(vo, ())
        pairs = tuple((DistinguishedName(c.subject).slash, DistinguishedName(c.issuer).slash) for c in chain)
        # an `.lsc` file may go on up to the root, which is not sent along
        return any(pairs == each[: len(pairs)] for each in known)


def is_vomsdir_file(name: str) -> bool:
    """Tell whether a file is one of those that :meth:`VomsTrust.from_files` reads, by its name `VO/name`."""
    return (_LSC.match(name) or _CERTIFICATE.match(name)) is not None


def lsc_file(chain: Iterable[x509.Certificate]) -> bytes:
    """Return the `.lsc` file for a signer's chain: subject and issuer of each certificate, a line each."""
    names = (name for c in chain for name in (c.subject, c.issuer))
    return "".join(f"{DistinguishedName(name).slash}\n" for name in names).encode()


def vomsdir(authorities: Iterable[AttributeAuthority]) -> dict[str, bytes]:
    """Return the files of a VOMS trust directory for these authorities, `VO/HOST.lsc` -> content."""
    return {f"{each.vo}/{each.host}.lsc": lsc_file(each.chain) for each in authorities}


def _chains(name: str, content: bytes) -> tuple[LscChain, ...]:
    try:
        lines = [line.strip() for line in _bounded(name, content).decode().split("\n")]
    except ValueError:
        raise CredentialFileError("vomsdir_malformed", f"{name} is no text") from None
    groups: list[list[str]] = [[]]
    for line in lines:
        if _NEXT_CHAIN.match(line):
            groups.append([])
        elif line and not line.startswith("#"):
            groups[-1].append(line)
    if any(len(group) % 2 or not all(line.startswith("/") for line in group) for group in groups):
        raise CredentialFileError("vomsdir_malformed", f"{name} does not hold pairs of subject and issuer, a line each")
    return tuple(tuple(zip(group[::2], group[1::2], strict=True)) for group in groups if group)


def _certificates(name: str, content: bytes) -> tuple[x509.Certificate, ...]:
    try:
        found = x509.load_pem_x509_certificates(_bounded(name, content))
        for depth, certificate in enumerate(found):
            require_readable(certificate, depth)
    except (ValueError, TypeError, x509.InvalidVersion, VerificationError):
        raise CredentialFileError("vomsdir_malformed", f"{name} holds no PEM certificate") from None
    return tuple(found)


def _bounded(name: str, content: bytes) -> bytes:
    if len(content) > _MAX_FILE_BYTES:
        raise CredentialFileError("vomsdir_malformed", f"{name} has more than {_MAX_FILE_BYTES} bytes")
    return content
