"""What a site is, all defaults filled in: the site, and each of its clusters with what differs there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

# what a cluster may say in another way than its site
_OF_A_CLUSTER = ("namespace", "workers", "caches", "storage", "volumes", "squid", "cvmfs", "daemon", "values")
# sections that are there in any case, for their defaults; `storage` is only where there is some
_SECTIONS = (
    "issuer", "identity", "ca", "tls", "pool", "workers", "volumes", "squid", "cvmfs", "daemon", "monitoring", "images",
)  # fmt: skip
DEFAULT_TOKEN_ISSUER = "https://kubernetes.default.svc.cluster.local"  # noqa: S105 - kubeadm's, no secret

Settings: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Cluster:
    """One cluster of a site. ``settings`` is the site file as it holds there, the cluster's own sections first."""

    name: str
    context: str | None
    kubeconfig: Path | None
    token_issuer: str | None
    namespace: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Site:
    """A site: one name in the pool, however many clusters."""

    name: str
    community: str
    clusters: tuple[Cluster, ...]


def site_of(document: Mapping[str, Any], directory: Path, filled: Callable[[Settings], Settings]) -> Site:
    """Return the site of a site file, whose kubeconfigs are relative to ``directory``.

    ``filled`` puts in defaults: last, so that what a cluster leaves out is what its site says.
    """
    shared = {name: value for name, value in document.items() if name != "clusters"}
    clusters = document.get("clusters", [{"name": "default"}])
    built = tuple(_cluster(entry, filled(_settings(shared, entry)), directory) for entry in clusters)
    return Site(document["name"], document["community"], built)


def _settings(shared: Settings, entry: Settings) -> Settings:
    sections: Settings = {name: {} for name in _SECTIONS} | {"caches": []}
    own = {name: entry[name] for name in _OF_A_CLUSTER if name in entry}
    return overlaid(overlaid(sections, shared), own)


def _cluster(entry: Settings, settings: Settings, directory: Path) -> Cluster:
    kubeconfig = entry.get("kubeconfig")
    return Cluster(
        name=entry["name"],
        context=entry.get("context"),
        kubeconfig=None if kubeconfig is None else directory / Path(kubeconfig).expanduser(),
        token_issuer=entry.get("token_issuer"),
        namespace=settings["namespace"],
        settings=settings,
    )


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return mappings merged, the upper one's values before the lower one's. Of two lists the upper one counts."""
    result = dict(below)
    for name, value in above.items():
        present = result.get(name)
        both = isinstance(present, Mapping) and isinstance(value, Mapping)
        result[name] = overlaid(present, value) if both and isinstance(present, Mapping) else value
    return result
