"""VOMS trust directories (``X509_VOMS_DIR``): which authorities may speak for which VO.

``VO/HOST.lsc`` names an authority by the subjects and issuers of its certificate chain, so that its certificate can be
renewed without anybody's notice; ``VO/*.pem`` is the older way, the certificate itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509

from proxy_gen.errors import CredentialFileError
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.authority import AttributeAuthority

_NEXT_CHAIN = re.compile(r"-+ *NEXT CHAIN *-+\Z")
_MAX_LSC_BYTES = 64 * 1024
_LSC = re.compile(r"(?P<vo>[A-Za-z0-9_.-]+)/[^/]+\.lsc\Z")
_CERTIFICATE = re.compile(r"(?P<vo>[A-Za-z0-9_.-]+)/[^/]+\.(?:pem|[0-9]+)\Z")

# one (subject, issuer) for each certificate, the authority's own first; DNs in slash form
LscChain = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VomsTrust:
    """The authorities that are trusted, by VO: ``chains`` of `.lsc` files, and ``certificates``."""

    chains: Mapping[str, tuple[LscChain, ...]]
    certificates: Mapping[str, tuple[x509.Certificate, ...]]

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> VomsTrust:
        """Read the files of a VOMS trust directory, given as `VO/name` -> content.

        Raises :class:`CredentialFileError` (``vomsdir_malformed``) naming the file.
        """
        chains: dict[str, tuple[LscChain, ...]] = {}
        certificates: dict[str, tuple[x509.Certificate, ...]] = {}
        for name in sorted(files):
            if lsc := _LSC.match(name):
                chains[lsc["vo"]] = (*chains.get(lsc["vo"], ()), *_chains(name, files[name]))
            elif found := _CERTIFICATE.match(name):
                certificates[found["vo"]] = (*certificates.get(found["vo"], ()), *_certificates(name, files[name]))
        return cls(chains, certificates)

    def knows(self, vo: str) -> bool:
        """Tell whether any authority is trusted to speak for a VO."""
        return bool(self.chains.get(vo) or self.certificates.get(vo))

    def trusts(self, vo: str, chain: tuple[x509.Certificate, ...]) -> bool:
        """Tell whether a signer with this chain, its own certificate first, may speak for a VO."""
        if not chain:
            return False
        pairs = tuple((DistinguishedName(c.subject).slash, DistinguishedName(c.issuer).slash) for c in chain)
        # an `.lsc` file may go on up to the root, which is not sent along
        by_name = any(pairs == known[: len(pairs)] for known in self.chains.get(vo, ()))
        return by_name or chain[0] in self.certificates.get(vo, ())


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
        lines = [line.strip() for line in content[: _MAX_LSC_BYTES + 1].decode().splitlines()]
    except ValueError:
        lines = None
    if lines is None or len(content) > _MAX_LSC_BYTES:
        raise CredentialFileError("vomsdir_malformed", f"{name} is no text of at most {_MAX_LSC_BYTES} bytes")
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
        found = x509.load_pem_x509_certificates(content)
    except (ValueError, x509.InvalidVersion):
        raise CredentialFileError("vomsdir_malformed", f"{name} holds no PEM certificate") from None
    return tuple(found)
