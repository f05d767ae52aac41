"""What was applied, kept in the cluster itself: so that what a site has no more is found, and all of it can be removed.

It is written before the first object with those of before and of now, and with those of now when all is done: an apply
that breaks off leaves nothing behind that nobody knows of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from k8s_manifests.cluster import Api
from k8s_manifests.errors import ClusterRefusedError
from k8s_manifests.objects import Key, Object

NAME = "stateless-site-inventory"
_FIELD, _SITE = "objects", "site"
# data and what opens it outlive a site that is taken down, unless that is asked for
KEPT_KINDS = frozenset({"PersistentVolumeClaim", "Namespace"})


def read(api: Api, namespace: str, site: str) -> list[Key]:
    """Return what was applied of a site in a namespace, in its order. Raises SiteError, also when another is there."""
    held = api.get(_key(namespace))
    if held is None:
        return []
    present = (held.get("data") or {}).get(_SITE)
    if present != site:
        raise ClusterRefusedError(
            "other_site",
            f"namespace {namespace} has the site {present}, and not {site}; each needs a namespace of its own",
        )
    try:
        return [Key(*entry) for entry in json.loads(held["data"][_FIELD])]
    except (KeyError, TypeError, ValueError):
        raise ClusterRefusedError(
            "inventory_unreadable", f"{_key(namespace)} was not written by us; remove it and apply again"
        ) from None


def write(api: Api, namespace: str, site: str, keys: Iterable[Key]) -> None:
    """Keep what was applied. Raises SiteError."""
    api.apply(_object(namespace, site, tuple(dict.fromkeys(keys))), dry_run=False)


def remove(api: Api, namespace: str) -> None:
    """Forget it. Raises SiteError."""
    api.delete(_key(namespace))


def left_over(before: Iterable[Key], now: Iterable[Key]) -> list[Key]:
    """Return what the site has no more, the last applied first; an object whose API moved on is the same one."""
    present = {key.identity for key in now}
    gone = [key for key in before if key.identity not in present and key.kind not in KEPT_KINDS]
    return gone[::-1]


def _key(namespace: str) -> Key:
    return Key("v1", "ConfigMap", namespace, NAME)


def _object(namespace: str, site: str, keys: tuple[Key, ...]) -> Object:
    labels = {"app.kubernetes.io/part-of": "stateless-site", "app.kubernetes.io/managed-by": "ttscache-site"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace, "labels": labels},
        "data": {_SITE: site, _FIELD: json.dumps(keys)},
    }
