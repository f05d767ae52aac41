"""HTCondor IDTOKENs: JWTs (RFC 7519, HS256) that are signed with a key of the pool.

What HTCondor does with a token was measured with its own code (25.14), which the acceptance tests drive. Bytes and
``now`` (POSIX seconds) come in, text goes out: no files, no network.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

POOL_KEY_ID: Final = "POOL"
MAX_KEY_BYTES: Final = 64 * 1024  # HTCondor sets no limit; those that it makes have 64 bytes, old passwords 256

# The levels that HTCondor asks for when somebody calls. Of the others that it has a name for, ALLOW, SOAP, DEFAULT and
# CLIENT grant a caller nothing.
AUTHORIZATION_LEVELS: Final = frozenset(
    {
        "READ",
        "WRITE",
        "NEGOTIATOR",
        "ADMINISTRATOR",
        "CONFIG",
        "DAEMON",
        "ADVERTISE_STARTD",
        "ADVERTISE_SCHEDD",
        "ADVERTISE_MASTER",
    }
)
SCOPE_PREFIX: Final = "condor:/"

_SCRAMBLE = b"\xde\xad\xbe\xef"
_JTI_BYTES = 16  # as in HTCondor's own
# A server offers the names of its key files, in a list with commas, and a client presents no token of another key.
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# Files that HTCondor overlooks in its directories (the default of LOCAL_CONFIG_DIR_EXCLUDE_REGEXP), keys among them.
_OVERLOOKED = (".pl", ".py", ".sh", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-dist", ".cfsaved")
# Visible ASCII without the comma: HTCondor issues nothing for a TRUST_DOMAIN with a comma, space or tab.
_TRUST_DOMAIN = re.compile(r"[!-+\--~]{1,255}")
# Nothing that means something in HTCondor's lists of users (`user@domain/host`, `*`, commas, spaces).
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
_MAX_SUBJECT = 255  # HTCondor's client hangs from 1024 on
# Who may do everything: `root` and `condor` are QUEUE_SUPER_USERS, `use security:recommended` makes `condor@*`,
# `condor_pool@*` and `root@*` administrators, and `condor` and `condor_pool` daemons and negotiators as well. An
# account that the mapping calls by such a name would not be a pilot any more; a pool that admits its workers as
# `condor@...` lists another name for these in ALLOW_ADVERTISE_STARTD and ALLOW_ADVERTISE_MASTER.
_RESERVED_USERS = frozenset({"root", "condor", "condor_pool", "unauthenticated"})
# Domains that HTCondor itself gives out, to daemons of one family and to both sides of a match.
_RESERVED_DOMAINS = frozenset({"child", "family", "matchsession", "parent", "password", "unmapped"})


class CondorTokenError(Exception):
    """A token that is not issued, or a key that cannot be used; ``code`` is stable, the message one line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class SigningKey:
    """A signing key of the pool; ``secret`` is what signs (32 bytes)."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def from_file_content(cls, key_id: str, content: bytes, *, allow_pool_key: bool = False) -> SigningKey:
        """Derive the key from a file of HTCondor's, byte for byte: newlines and NULs at its end belong to it.

        ``key_id`` is the file's name in the pool's SEC_PASSWORD_DIRECTORY, or `POOL` for its
        SEC_TOKEN_POOL_SIGNING_KEY_FILE. Raises :class:`CondorTokenError`.
        """
        require_key_id(key_id, allow_pool_key=allow_pool_key)
        if not content:
            raise CondorTokenError("key_invalid", f"the signing key '{key_id}' is empty")
        if len(content) > MAX_KEY_BYTES:
            raise CondorTokenError("key_invalid", f"the signing key '{key_id}' has more than {MAX_KEY_BYTES} bytes")
        material = bytes(byte ^ mask for byte, mask in zip(content, cycle(_SCRAMBLE), strict=False))
        if key_id == POOL_KEY_ID:
            # once it was a password of two parties, both of them the pool: old tokens must stay good
            material *= 2
        derivation = HKDF(algorithm=SHA256(), length=32, salt=b"htcondor", info=b"master jwt")
        return cls(key_id, derivation.derive(material))


def require_key_id(key_id: str, *, allow_pool_key: bool) -> None:
    """Refuse an id that HTCondor would not find a key file by, and `POOL` unless it is allowed.

    Whoever has the key `POOL` can be anybody in the pool, so another key is the better one for a site.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise CondorTokenError(
            "key_id_invalid",
            "a key id is a key file's name: a letter or digit, then at most 127 letters, digits, '.', '_' and '-'",
        )
    if key_id.endswith(_OVERLOOKED):
        raise CondorTokenError("key_id_invalid", f"HTCondor overlooks key files with a name such as '{key_id}'")
    if key_id == POOL_KEY_ID and not allow_pool_key:
        raise CondorTokenError(
            "pool_key_refused", "the key POOL can make anybody of the pool: use another, or set allow_pool_key"
        )


def require_trust_domain(trust_domain: str) -> None:
    """Refuse what cannot be a TRUST_DOMAIN; HTCondor compares it to the letter."""
    if not _TRUST_DOMAIN.fullmatch(trust_domain):
        raise CondorTokenError(
            "trust_domain_invalid",
            "a trust domain is one name of at most 255 visible ASCII characters, without a comma or space",
        )


def require_scopes(scopes: Sequence[str]) -> None:
    """Refuse scopes that do not narrow what the token may do.

    With no scope of the form `condor:/LEVEL`, or with `condor:/ALL_PERMISSIONS`, HTCondor lets a token do whatever its
    user may do. A level that HTCondor does not know grants nothing.
    """
    if not scopes:
        raise CondorTokenError("scope_invalid", "a token without scopes may do everything: name its levels")
    for scope in scopes:
        if not scope.startswith(SCOPE_PREFIX) or scope.removeprefix(SCOPE_PREFIX) not in AUTHORIZATION_LEVELS:
            levels = ", ".join(sorted(AUTHORIZATION_LEVELS))
            raise CondorTokenError("scope_invalid", f"scopes are condor:/LEVEL, and the levels are {levels}")


def subject_of(user: str, trust_domain: str) -> str:
    """Return `user@domain`; the domain of a bare user is the trust domain. Raises :class:`CondorTokenError`."""
    name, at, domain = user.partition("@")
    domain = domain if at else trust_domain
    subject = f"{name}@{domain}"
    if not _USER.fullmatch(name) or not _DOMAIN.fullmatch(domain) or len(subject) > _MAX_SUBJECT:
        raise CondorTokenError(
            "user_invalid",
            f"a user is NAME@DOMAIN of letters, digits, '.', '_' and '-', at most {_MAX_SUBJECT} characters;"
            " without a domain, the trust domain is it",
        )
    # HTCondor puts domains into lower case, so that CHILD becomes child; a `Root` is not worth the doubt either
    if name.lower() in _RESERVED_USERS or domain.lower() in _RESERVED_DOMAINS:
        raise CondorTokenError("user_reserved", f"{subject} is a name that HTCondor gives rights of its own to")
    return subject


def issue_idtoken(
    key: SigningKey, *, trust_domain: str, user: str, scopes: Sequence[str], now: float, lifetime: int
) -> tuple[str, int]:
    """Return a token and when it ends (POSIX seconds); ``lifetime`` is in seconds. Raises :class:`CondorTokenError`.

    Header and claims are those that HTCondor writes. It writes no `nbf`, and reads none.
    """
    require_trust_domain(trust_domain)
    require_scopes(scopes)
    subject = subject_of(user, trust_domain)
    if lifetime <= 0:
        raise CondorTokenError("lifetime_invalid", "the lifetime must be positive")
    issued_at = int(now)
    claims = {
        "exp": issued_at + lifetime,
        "iat": issued_at,
        "iss": trust_domain,
        "jti": secrets.token_hex(_JTI_BYTES),
        "scope": " ".join(scopes),
        "sub": subject,
    }
    headers = {"kid": key.key_id, "typ": None}  # None: PyJWT leaves its own out
    return jwt.encode(claims, key.secret, algorithm="HS256", headers=headers), issued_at + lifetime
