"""What a Kubernetes API server knows of tokens: it makes them for service accounts and pods, and reviews them.

The answers are what Kubernetes 1.20 was seen to answer, but for two things: nothing is cached (a real one remembers a
good token for 10 s), and what is deleted is gone at once (a real pod has its grace period first, and 60 s more).
"""

import hashlib
import json
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.identity.kit import Key, base64url, compact

# kubeadm's default: every cluster has it that nobody told otherwise
ISSUER = "https://kubernetes.default.svc.cluster.local"
_LEEWAY = 60.0


class RefusedError(Exception):
    """Why a token is no good, in the API server's words; none where it is not even one of its own."""


class ServiceAccounts:
    """Service accounts and pods, which are there as soon as a token is made for them; once deleted, others are."""

    def __init__(self, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self._keys = [_new_key()]
        self._uids: dict[tuple[str, str, str], str] = {}

    def token(
        self,
        namespace: str,
        service_account: str,
        *,
        pod: str | None = None,
        audiences: Sequence[str] = (),
        lifetime: float = 3600,
        age: float = 0,
        **claims: Any,  # noqa: ANN401 - any claims
    ) -> str:
        """Return what TokenRequest gave ``age`` seconds ago: for the API server itself where no audience is named.

        ``claims`` replace those that it would have; one that is ``...`` is left out.
        """
        issued = int(time.time() - age)
        binding: dict[str, Any] = {"namespace": namespace}
        if pod is not None:
            binding["pod"] = self._reference("pods", namespace, pod)
        binding["serviceaccount"] = self._reference("serviceaccounts", namespace, service_account)
        body = {
            "aud": list(audiences) or [self.issuer],
            "exp": issued + int(lifetime),
            "iat": issued,
            "iss": self.issuer,
            "kubernetes.io": binding,
            "nbf": issued,
            "sub": username(namespace, service_account),
        }
        left = {name: value for name, value in (body | claims).items() if value is not ...}
        return compact({"alg": "RS256", "kid": self._keys[0].kid}, json.dumps(left).encode(), self._keys[0])

    def delete_pod(self, namespace: str, name: str) -> None:
        del self._uids["pods", namespace, name]

    def delete_service_account(self, namespace: str, name: str) -> None:
        del self._uids["serviceaccounts", namespace, name]

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with a new key; without ``keep_old`` the others are neither published nor good for anything."""
        self._keys = [_new_key(), *(self._keys if keep_old else [])]

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.jwk for key in self._keys]}

    def review(self, token: str, audiences: Sequence[str]) -> dict[str, Any]:
        """Return a TokenReview's status; no audience means the API server itself."""
        try:
            return self.authenticated(token, audiences or [self.issuer])
        except RefusedError as error:
            return {"user": {}, "error": f"[invalid bearer token, {error}]" if error.args else "invalid bearer token"}

    def authenticated(self, token: str, wanted: Sequence[str]) -> dict[str, Any]:
        """Return the status of a good token, whose audiences are among those wanted. Raises :class:`RefusedError`."""
        claims = self._signed(token)
        presented = claims.get("aud") or [self.issuer]
        audiences = [audience for audience in wanted if audience in presented]
        if not audiences:
            several = f"{_quoted(presented)} is invalid for the target audiences {_quoted(wanted)}"
            raise RefusedError(f"token audiences {several}")
        if claims.get("exp", 0) + _LEEWAY < time.time():
            raise RefusedError("Token has expired.")
        if claims.get("nbf", 0) - _LEEWAY > time.time():
            raise RefusedError("Token could not be validated.")
        return {"authenticated": True, "user": self._user(claims.get("kubernetes.io")), "audiences": audiences}

    def _reference(self, kind: str, namespace: str, name: str) -> dict[str, str]:
        return {"name": name, "uid": self._uids.setdefault((kind, namespace, name), str(uuid.uuid4()))}

    def _signed(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that any of the keys has signed, whatever its `kid`."""
        with suppress(jwt.DecodeError):
            claims = dict(jwt.decode(token, options={"verify_signature": False}))
            if claims.get("iss") == self.issuer:
                if any(_has_signed(key, token) for key in self._keys):
                    return claims
                raise RefusedError("square/go-jose: error in cryptographic primitive")
        raise RefusedError

    def _user(self, binding: dict[str, Any] | None) -> dict[str, Any]:
        """Return whom a token stands for, which is not taken from its `sub`."""
        if binding is None:
            raise RefusedError("resource name may not be empty")
        namespace, account, pod = binding["namespace"], binding["serviceaccount"], binding.get("pod")
        uid = self._uids.get(("serviceaccounts", namespace, account["name"]))
        if uid is None:
            raise RefusedError(f'serviceaccounts "{account["name"]}" not found')
        if uid != account["uid"]:
            raise RefusedError(f"ServiceAccount UID ({uid}) does not match claim ({account['uid']})")
        user = {
            "username": username(namespace, account["name"]),
            "uid": uid,
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
        }
        return user if pod is None else user | {"extra": self._extra(namespace, pod)}

    def _extra(self, namespace: str, pod: dict[str, str]) -> dict[str, list[str]]:
        uid = self._uids.get(("pods", namespace, pod["name"]))
        if uid is None:
            raise RefusedError("Token has been invalidated")
        if uid != pod["uid"]:
            raise RefusedError(f"Pod UID ({uid}) does not match claim ({pod['uid']})")
        return {f"authentication.kubernetes.io/pod-{field}": [pod[field]] for field in ("name", "uid")}


def username(namespace: str, service_account: str) -> str:
    return f"system:serviceaccount:{namespace}:{service_account}"


def _new_key() -> Key:
    """Return a signing key; the API server calls it by the SHA-256 of its public half."""
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key("RS256", private, base64url(hashlib.sha256(public).digest()))


def _has_signed(key: Key, token: str) -> bool:
    try:
        jwt.PyJWS().decode(token, key.private.public_key(), algorithms=["RS256"])
    except jwt.InvalidTokenError:
        return False
    return True


def _quoted(audiences: Sequence[str]) -> str:
    return f"[{' '.join(json.dumps(audience) for audience in audiences)}]"
