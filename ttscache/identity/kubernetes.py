"""What a Kubernetes cluster's tokens say of the pod that presents them (projected service account tokens)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ttscache.errors import TokenMalformedError
from ttscache.model import Pod

# names of objects: RFC 1123 subdomains; uids are such, too
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")


def pod_of(cluster: str, claims: Mapping[str, Any]) -> Pod:
    """Return the pod that a token is bound to; ``cluster`` is the issuer's name.

    Raises :class:`TokenMalformedError` for a token that is bound to none, or contradicts itself.
    """
    private = claims.get("kubernetes.io")
    namespace = _text(private, "namespace")
    service_account = _text(_part(private, "serviceaccount"), "name")
    pod = _part(private, "pod")
    name, uid = _text(pod, "name"), _text(pod, "uid")
    if namespace is None or service_account is None or name is None or uid is None:
        raise TokenMalformedError(
            "the token is bound to no pod; mount a projected service account token with this daemon's audience"
        )
    if claims.get("sub") != f"system:serviceaccount:{namespace}:{service_account}":
        raise TokenMalformedError("the token's 'sub' is not the service account that its other claims name")
    return Pod(cluster, namespace, service_account, name, uid)


def rotated_at(claims: Mapping[str, Any]) -> float | None:
    """Return when the pod was to have another token, in POSIX seconds, where the cluster has said so.

    A token that was asked for 3607 seconds may live for a year all the same: API servers stretch it for old clients
    that do not read their file again.
    """
    value = _part(claims.get("kubernetes.io"), "warnafter")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _part(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: object, name: str) -> str | None:
    text = _part(value, name)
    return text if isinstance(text, str) and _NAME.match(text) else None
