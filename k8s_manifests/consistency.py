"""What a site file's parts must be to each other, which a schema cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from k8s_manifests.site import Cluster, Site
from proxy_gen.errors import FqanRefusedError, NameRefusedError
from proxy_gen.mapfiles import gridmap
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.fqan import Fqan

_Place: TypeAlias = tuple[str | int, ...]
_Mistake: TypeAlias = tuple[_Place, str]
_CMS_NAME = re.compile(r"T[0-3]_[A-Z]{2}_\w+")
# names of Services that other charts of the site have
_TAKEN = frozenset({"site", "ttscache", "squid", "cvmfs", "wn", "xrootd", "htcondor"})


def mistakes_of(given: Mapping[str, Any], site: Site) -> Iterator[_Mistake]:
    """Yield what is wrong, with its place in the site file; ``given`` is the file over its community's preset."""
    if site.community == "cms" and not _CMS_NAME.fullmatch(site.name):
        yield ("name",), "a CMS site is called T<tier>_<country>_<name>, such as T3_IT_Opportunistic"
    yield from _of_pool(given)
    yield from _of_clusters(given)
    several = "clusters" in given
    for index, cluster in enumerate(site.clusters):
        entry: Mapping[str, Any] = given["clusters"][index] if several else {}
        for place, message in _of_settings(cluster):
            # a section that the cluster does not have for itself is the site's
            own = several and place[0] in entry
            yield (("clusters", index, *place) if own else place), message


def _of_pool(given: Mapping[str, Any]) -> Iterator[_Mistake]:
    pool = given["pool"]
    if pool["own"]:
        if "signing_key" not in pool:
            yield ("pool",), "a pool of one's own needs `signing_key`: {secret: NAME, key: KEY}, its key POOL"
        for key in ("cms_name", "attributes"):
            if key in pool:
                yield ("pool", key), "is for the pool of somebody else, and this one is the site's own"
        return
    if not pool["collectors"]:
        yield ("pool", "collectors"), "must not be empty: which pool do the workers join? or `own: true`"
    if "idtoken" not in pool:
        yield ("pool",), "the key 'idtoken' is missing: {secret: NAME, key: KEY} with the IDTOKEN that the pool issued"


def _of_clusters(given: Mapping[str, Any]) -> Iterator[_Mistake]:
    clusters = given.get("clusters", [])
    names: set[str] = set()
    for index, entry in enumerate(clusters):
        if entry["name"] in names:
            yield ("clusters", index, "name"), "another cluster has this name"
        names.add(entry["name"])
        if len(clusters) > 1 and "context" not in entry and "kubeconfig" not in entry:
            yield ("clusters", index), "needs `context` or `kubeconfig`: with several clusters there is no current one"


def _of_settings(cluster: Cluster) -> Iterator[_Mistake]:
    settings = cluster.settings
    yield from _of_scaling(settings)
    yield from _of_caches(settings)
    yield from _of_names(settings)
    if settings.get("storage") is not None and "size" not in settings["storage"]:
        yield ("storage",), "the key 'size' is missing"
    if settings["tls"].get("issuer") and not settings["tls"]["cert_manager"]:
        yield ("tls", "issuer"), "is cert-manager's: say `cert_manager: true` too"


def _of_scaling(settings: Mapping[str, Any]) -> Iterator[_Mistake]:
    workers, kind = settings["workers"], settings["autoscaling"]
    if kind == "keda" and "prometheus" not in settings["monitoring"]:
        yield ("autoscaling",), "KEDA asks Prometheus: say where it is by `monitoring.prometheus`"
    if kind == "hpa" and not workers["count"]:
        yield ("workers", "count"), "must be 1 at least with `autoscaling: hpa`; KEDA scales from 0"
    parts = [("workers",), *(("caches", index) for index in range(len(settings["caches"])))]
    for place, part in zip(parts, [workers, *settings["caches"]], strict=True):
        if kind != "none" and part["max"] < part["count"]:
            yield place, f"`max` ({part['max']}) is less than `count` ({part['count']})"


def _of_caches(settings: Mapping[str, Any]) -> Iterator[_Mistake]:
    names: set[str] = set()
    for index, cache in enumerate(settings["caches"]):
        if cache["name"] in names | _TAKEN:
            yield ("caches", index), f"the name {cache['name']} is taken; give each cache a `name` of its own"
        names.add(cache["name"])
        if not _has_port(cache["origin"]):
            yield ("caches", index, "origin"), "has a port that is none (1 to 65535)"
        if cache["credential"] == "token" and "audience" not in cache:
            yield ("caches", index), "`credential: token` needs `audience`: for whom is the token to be?"


def _of_names(settings: Mapping[str, Any]) -> Iterator[_Mistake]:
    for index, fqan in enumerate(settings["identity"]["fqans"]):
        if (why := _unfit_fqan(fqan)) is not None:
            yield ("identity", "fqans", index), why
    for section, key in (("identity", "dn"), ("ca", "subject")):
        if key in settings[section] and (why := _unfit_name(settings[section][key])):
            yield (section, key), why


def _unfit_name(text: str) -> str | None:
    """Return why a DN can be neither minted nor mapped, or None."""
    try:
        DistinguishedName.parse(text)
    except NameRefusedError as error:
        return str(error)
    return gridmap.refusal(text, gridmap.Reader.GRIDMAP)


def _unfit_fqan(text: str) -> str | None:
    try:
        Fqan.parse(text)
    except FqanRefusedError as error:
        return str(error)
    return None


def _has_port(url: str) -> bool:
    """Return whether a URL's port, if it has one, is one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
