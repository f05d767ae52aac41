"""What is answered with 200: whose it is, whether it holds, and whether it is what was asked for."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from proxy_gen.credential import Credential
from proxy_gen.keys import PrivateKey
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from tests.soak.site import DEADLINE, KEY_ID, LIFETIME, MIN_LIFETIME, TRUST_DOMAIN, Person
from ttscache.authority.condor import SigningKey

# seconds are cut off on the way into a certificate, and an answer takes its time on its way
_SLACK = 5.0
# of its life a credential has at least so much left when it is served, or the profile's minimum
_SERVED_SHARE = 0.25


class WrongError(Exception):
    """The credential is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who asked for what: for how long (None: the profile's), limited or not, and for which key (None: a new one)."""

    person: Person
    lifetime: int | None = None
    limited: bool = False
    key: PrivateKey | None = None


class Judge:
    """Looks at credentials as consumers do."""

    def __init__(self, anchors: TrustAnchors, pool_key: bytes) -> None:
        self._anchors = anchors
        self._pool_key = SigningKey.from_file_content(KEY_ID, pool_key)
        self.seen: dict[bytes, str] = {}

    def proxy(self, pem: bytes, wanted: Wanted, arrived: float) -> Credential:
        """Return the credential. Raises WrongError and the library's errors for one that is wrong."""
        credential = Credential.parse(pem)
        verified = verify(credential.chain, self._anchors, datetime.fromtimestamp(arrived, UTC))
        _require(verified.identity.slash == wanted.person.dn, f"the identity is {verified.identity.slash}")
        _require(verified.limited is wanted.limited, f"limited is {verified.limited}")
        self._require_key(credential, wanted)
        ends_at = verified.not_after.timestamp()
        asked = wanted.lifetime or LIFETIME
        _require(ends_at <= arrived + asked + _SLACK, f"it ends {ends_at - arrived - asked:.1f} s later than asked")
        # what is signed for a CSR is new
        least = min(MIN_LIFETIME, asked * _SERVED_SHARE) if wanted.key is None else asked - DEADLINE
        _require(ends_at - arrived >= least - _SLACK, f"only {ends_at - arrived:.1f} s are left")
        self._require_owner(credential.leaf, wanted.person)
        return credential

    def form(self, body: bytes, wanted: Wanted, arrived: float) -> None:
        """Look at a proxy in an answer of the token endpoint. Raises as :meth:`proxy`."""
        self.proxy(json.loads(body)["access_token"].encode(), wanted, arrived)

    def idtoken(self, body: bytes, wanted: Wanted) -> None:
        """Look at an answer of the token endpoint. Raises WrongError and PyJWT's errors."""
        answer = json.loads(body)
        now = time.time()
        claims: dict[str, Any] = jwt.decode(
            answer["access_token"], self._pool_key.secret, ["HS256"], issuer=TRUST_DOMAIN, leeway=1
        )
        _require(claims["sub"] == wanted.person.token_subject, f"the subject is {claims['sub']}")
        _require(claims["exp"] <= now + (wanted.lifetime or LIFETIME) + _SLACK, "it lives too long")

    def whoami(self, body: bytes, person: Person) -> None:
        """Look at what the daemon says of who asks. Raises WrongError."""
        told = json.loads(body)
        _require(told["subject"] == person.user.sub, f"the subject is {told['subject']}")
        _require(told["decision"]["dn"] == person.dn, f"the DN is {told['decision']['dn']}")

    def _require_key(self, credential: Credential, wanted: Wanted) -> None:
        if wanted.key is None:
            # that it is the leaf's was looked at when it was parsed
            _require(credential.key is not None, "there is no key")
            return
        _require(credential.key is None, "there is a key nobody asked for")
        _require(credential.leaf.public_key() == wanted.key.public_key(), "it is for another key than the CSR's")

    def _require_owner(self, leaf: x509.Certificate, person: Person) -> None:
        owner = self.seen.setdefault(leaf.fingerprint(SHA256()), person.name)
        _require(owner == person.name, f"it was {owner}'s before")


def wrong(look: Callable[[], object]) -> str | None:
    """Return what is wrong with an answer, or None."""
    try:
        look()
    except Exception as error:  # noqa: BLE001 - whatever it is that does not hold, it is told
        return f"{type(error).__name__}: {error}"
    return None


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise WrongError(otherwise)
