"""The names of records in the store. Identities are hashed into them: a listing of keys tells nobody's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes

# under which all owners are
OWNERS = "owner/"


@lru_cache(maxsize=10_000)  # each request asks for its own
def session_key(issuer: str, subject: str) -> str:
    """The session of an identity."""
    return "session/" + digest(issuer, subject)


def owner_key(canonical_dn: bytes) -> str:
    """Whose a DN is."""
    return OWNERS + digest(canonical_dn.hex())


def parent_key(issuer: str, subject: str, generation: str, dn: str, authority: str) -> str:
    """What an identity's proxies stand under."""
    return "parent/" + digest(issuer, subject, generation, dn, authority)


def fingerprints(certificates: Iterable[x509.Certificate]) -> str:
    """Return what tells one list of certificates from another."""
    return digest(*(certificate.fingerprint(hashes.SHA256()).hex() for certificate in certificates))


def digest(*parts: str) -> str:
    """Hash texts so that no two lists of them run together (each is preceded by its length)."""
    joined = b"".join(len(raw).to_bytes(4) + raw for raw in (part.encode(errors="surrogatepass") for part in parts))
    return hashlib.sha256(joined).hexdigest()
