"""A site's cluster, its API opened and its objects rendered for what it can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k8s_manifests.cluster import Api
from k8s_manifests.helm import Helm, Target
from k8s_manifests.objects import Object
from k8s_manifests.releases import rendered
from k8s_manifests.site import DEFAULT_TOKEN_ISSUER, Cluster, Site
from k8s_manifests.values import releases_of


@dataclass(frozen=True)
class Tools:
    """What renders: the program and the directory of the charts."""

    helm: Helm
    charts: Path


@dataclass(frozen=True)
class Deployment:
    """A cluster with what a site is to have there."""

    api: Api
    cluster: Cluster
    target: Target
    objects: list[Object]


@contextmanager
def deployment(site: Site, cluster: Cluster, tools: Tools) -> Iterator[Deployment]:
    """Give a cluster, asked for what it is, with the site's objects rendered for it. Raises SiteError."""
    with Api(cluster.kubeconfig, cluster.context) as api:
        target = api.target()
        issuer = cluster.token_issuer or api.token_issuer() or DEFAULT_TOKEN_ISSUER
        yield Deployment(api, cluster, target, objects_of(site, cluster, tools, target, issuer))


def objects_of(site: Site, cluster: Cluster, tools: Tools, target: Target, issuer: str) -> list[Object]:
    """Return a site's objects for a cluster of which this much is known. Raises ToolError."""
    releases = releases_of(site, cluster, issuer)
    return rendered(releases, cluster.namespace, helm=tools.helm, charts=tools.charts, target=target)
