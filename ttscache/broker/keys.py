"""The names of records in the store. Identities are hashed into them: a listing of keys tells nobody's name.

What belongs to one identity has its digest behind the kind, so that it can be found without reading what is others'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes

# under which all owners, sessions, parents, cached credentials and cached access tokens are
OWNERS = "owner/"
SESSIONS = "session/"
PARENTS = "parent/"
CREDENTIALS = "credential/"
ACCESS_TOKENS = "access-token/"
# the one record of who is refused
REVOCATIONS = "revocations"
# the one record of certificates that are on a CRL before their end
REVOKED_CERTIFICATES = "revoked-certificates"


@lru_cache(maxsize=10_000)  # each request asks for its own
def identity_digest(issuer: str, subject: str) -> str:
    """What stands for an identity in keys."""
    return digest(issuer, subject)


def session_key(issuer: str, subject: str, asked: str) -> str:
    """The session of an identity, opened with the scopes and the audience that ``asked`` stands for."""
    return f"{SESSIONS}{identity_digest(issuer, subject)}/{asked}"


def standing_key(issuer: str, name: str, asked: str) -> str:
    """The standing session of a name; no identity has it."""
    return f"{SESSIONS}{digest('standing', issuer, name)}/{asked}"


def owner_key(canonical_dn: bytes) -> str:
    """Whose a DN is."""
    return OWNERS + digest(canonical_dn.hex())


def parent_key(issuer: str, subject: str, generation: str, dn: str, authority: str) -> str:
    """What an identity's proxies stand under."""
    return f"{PARENTS}{identity_digest(issuer, subject)}/{digest(generation, dn, authority)}"


def credential_key(issuer: str, subject: str, what: str) -> str:
    """A cached credential of an identity; ``what`` is the digest of everything else that changes the answer."""
    return f"{CREDENTIALS}{identity_digest(issuer, subject)}/{what}"


def access_token_key(issuer: str, subject: str, what: str) -> str:
    """A cached access token of an identity; ``what`` is as in :func:`credential_key`."""
    return f"{ACCESS_TOKENS}{identity_digest(issuer, subject)}/{what}"


def fingerprints(certificates: Iterable[x509.Certificate]) -> str:
    """Return what tells one list of certificates from another."""
    return digest(*(certificate.fingerprint(hashes.SHA256()).hex() for certificate in certificates))


def digest(*parts: str) -> str:
    """Hash texts so that no two lists of them run together (each is preceded by its length)."""
    joined = b"".join(len(raw).to_bytes(4) + raw for raw in (part.encode(errors="surrogatepass") for part in parts))
    return hashlib.sha256(joined).hexdigest()
