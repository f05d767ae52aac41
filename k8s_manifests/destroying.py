"""Taking a site down: what was applied goes, the last first; data and Secrets stay unless they are asked for too."""

from __future__ import annotations

from collections.abc import Callable

from k8s_manifests import inventory
from k8s_manifests.cluster import Api
from k8s_manifests.objects import Key

_PART = "app.kubernetes.io/part-of=stateless-site"


def doomed(api: Api, namespace: str, site: str, *, data: bool) -> list[Key]:
    """Return what would be deleted, in order. Raises SiteError.

    With ``data`` also the volume claims of StatefulSets, which Kubernetes leaves behind, and the Secrets with the keys
    that the site made.
    """
    known = inventory.read(api, namespace, site)
    gone = [key for key in known[::-1] if key.kind not in inventory.KEPT_KINDS]
    if not data:
        return gone
    kept = [key for key in known if key.kind == "PersistentVolumeClaim"]
    claims = _labelled(api, namespace, "PersistentVolumeClaim")
    return gone + list(dict.fromkeys((*kept, *claims, *_labelled(api, namespace, "Secret"))))


def destroy(api: Api, namespace: str, keys: list[Key], tell: Callable[[str], None]) -> None:
    """Delete. Raises SiteError; what is left then is found again by the next one."""
    for key in keys:
        if api.delete(key):
            tell(f"deleted {key}")
    inventory.remove(api, namespace)


def _labelled(api: Api, namespace: str, kind: str) -> list[Key]:
    items = api.list("v1", kind, namespace, labels=_PART)
    return [Key("v1", kind, namespace, item["metadata"]["name"]) for item in items]
