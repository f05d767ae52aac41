"""From a site to values of the charts: what it says, in the charts' words. How it is done is the charts' business."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from k8s_manifests import daemon
from k8s_manifests.authorization import authorization
from k8s_manifests.daemon import AUDIENCE, EXECUTE, IDTOKEN, PROXY, SUBMIT, URL
from k8s_manifests.releases import Release
from k8s_manifests.site import Cluster, Site, overlaid

Values: TypeAlias = dict[str, Any]

_PORTS = {"root": 1094, "https": 443}
# cert-manager's issuer that the daemon's chart makes where none is named
_SITES_CA = {"name": "ttscache-tls-ca", "kind": "Issuer"}
_ANCHORS = PurePosixPath("/cvmfs/grid.cern.ch/etc/grid-security/certificates")


def releases_of(site: Site, cluster: Cluster, issuer: str) -> tuple[Release, ...]:
    """Return a cluster's releases: the site, and each cache but the first on its own, for the site's chart has one."""
    settings = cluster.settings
    parts = daemon.parts_of(settings)
    values: Values = {"parts": parts, "monitoring": _monitoring(settings)}
    makers = {"squid": _squid, "cvmfs": _cvmfs, "wn": _wn, "xrootd": _xrootd, "htcondor": _htcondor}
    values["ttscache"] = _ttscache(site, cluster, issuer)
    values |= {chart: make(site, settings) for chart, make in makers.items() if parts[chart]}
    caches = [_xcache(site, settings, cache) for cache in settings["caches"]]
    if caches:
        values["xcache"] = caches[0]
    last = settings["values"]
    first = Release("site", "stateless-site", overlaid(values, last))
    return first, *(
        Release(cache["fullnameOverride"], "xcache", overlaid(cache, last.get("xcache", {}))) for cache in caches[1:]
    )


def _ttscache(site: Site, cluster: Cluster, issuer: str) -> Values:
    settings = cluster.settings
    replicas, secret = settings["daemon"]["replicas"], settings["ca"].get("secret")
    return {
        **_common(settings, "ttscache"),
        "config": daemon.configuration(site, cluster, issuer),
        "secrets": [{"name": name} for name in daemon.secrets(settings)],
        "workloads": {"review": True},
        "store": {"kind": "redis" if replicas > 1 else "sqlite", "volume": _class(settings)},
        "redis": {"volume": _class(settings)} | _image_of(settings, "redis"),
        "keys": {"existingSecret": secret or ""},
        "daemon": {"replicas": replicas},
        "tls": _tls(settings, settings["tls"]["secret"], {}),
    }


def _squid(_: Site, settings: Mapping[str, Any]) -> Values:
    squid = settings["squid"]
    disk = {"size": squid["disk"], "persistent": squid["persistent"]}
    return (
        _common(settings, "squid")
        | {"squid": {"replicas": squid["count"]}, "cache": {"memory": squid["memory"], "disk": disk | _class(settings)}}
        | ({"destinations": squid["destinations"]} if "destinations" in squid else {})
        | _squid_metrics(settings)
    )


def _squid_metrics(settings: Mapping[str, Any]) -> Values:
    common = _common(settings, "squid")["metrics"]
    return {"metrics": common | _image_of(settings, "squid-exporter")}


def _cvmfs(_: Site, settings: Mapping[str, Any]) -> Values:
    cvmfs = settings["cvmfs"]
    return {
        **_common(settings, "cvmfs", metrics=False),
        "mode": cvmfs["mount"],
        "repositories": cvmfs["repositories"],
    }


def _wn(site: Site, settings: Mapping[str, Any]) -> Values:
    pool = settings["pool"]
    return {
        **_common(settings, "wn"),
        "pool": {"collectors": pool["collectors"]},
        "site": {
            "name": site.name,
            "cmsName": pool.get("cms_name", site.name),
            "attributes": pool.get("attributes", {}),
        },
        "startd": _execute(settings),
        "cvmfs": _mounts(settings),
        "credentials": _credentials(settings, proxy=PROXY, idtoken=IDTOKEN),
        "demand": _demand(settings),
    }


def _htcondor(_: Site, settings: Mapping[str, Any]) -> Values:
    key = settings["pool"]["signing_key"]
    return {
        **_common(settings, "htcondor"),
        "auth": {"trustDomain": "htcondor", "signingKey": {"name": key["secret"], "key": key["key"]}},
        "submit": {"spool": _class(settings), "profile": SUBMIT},
        "execute": _execute(settings),
        "cvmfs": _mounts(settings),
        "credentials": _credentials(settings, idtoken=EXECUTE),
        "demand": _demand(settings) | {"profile": SUBMIT},
    }


def _execute(settings: Mapping[str, Any]) -> Values:
    workers = settings["workers"]
    size = {"cpu": str(workers["cores"]), "memory": workers["memory"]}
    return {
        "replicas": workers["count"],
        "resources": {"requests": size, "limits": {"memory": workers["memory"]}},
        "scratch": {"size": workers["disk"]},
        "autoscaling": _autoscaling(settings, workers),
    }


def _demand(settings: Mapping[str, Any]) -> Values:
    return {"enabled": settings["autoscaling"] != "none" or settings["monitoring"]["operator"]}


def _mounts(settings: Mapping[str, Any]) -> Values:
    cvmfs = settings["cvmfs"]
    kinds = {"daemonset": "hostPath", "csi": "claim", "none": "none"}
    return {"kind": kinds[cvmfs["mount"]], "repositories": cvmfs["repositories"]}


def _xcache(site: Site, settings: Mapping[str, Any], cache: Mapping[str, Any]) -> Values:
    origin = urlsplit(cache["origin"])
    return {
        **_common(settings, "xcache"),
        "fullnameOverride": cache["name"],
        "exports": cache["exports"],
        "origin": {
            "host": origin.hostname,
            "port": origin.port or _PORTS[origin.scheme],
            "protocol": origin.scheme,
            "credential": cache["credential"],
        },
        "cache": {
            "replicas": cache["count"],
            "volume": {"size": cache["size"]} | _class(settings),
            "ram": cache["memory"],
            "autoscaling": _autoscaling(settings, cache),
        },
        "proxy": _exposed(cache),
        "authorization": authorization(site, settings, exports=cache["exports"], writable=False),
        **_server(settings, cache["name"], token=cache["credential"] == "token"),
    }


def _xrootd(site: Site, settings: Mapping[str, Any]) -> Values:
    storage = settings["storage"]
    return {
        **_common(settings, "xrootd"),
        "exports": storage["exports"],
        "server": {"volume": {"size": storage["size"]} | _class(settings), "service": _service(storage)},
        "authorization": authorization(site, settings, exports=storage["exports"], writable=True),
        **_server(settings, "xrootd"),
    }


def _server(settings: Mapping[str, Any], name: str, *, token: bool = False) -> Values:
    """Return what all XRootD servers have: a host certificate, a credential, and CAs, IGTF's from cvmfs where it is."""
    cvmfs, credentials = settings["cvmfs"], _credentials(settings, proxy=PROXY)
    if token:
        credentials["bearer"] = {"enabled": True, "profile": f"origin-{name}"}
    # whom cert-manager makes one for has a Secret of his own; one that somebody brings is for all
    own = settings["tls"]["cert_manager"]
    host = {"hostCertificate": _tls(settings, f"{name}-host" if own else settings["tls"]["host_secret"], _SITES_CA)}
    if cvmfs["mount"] == "none" or _ANCHORS.parts[2] not in cvmfs["repositories"]:
        return {**host, "credentials": credentials}
    sources = {"daemonset": {"hostPath": {"path": "/cvmfs"}}, "csi": {"persistentVolumeClaim": {"claimName": "cvmfs"}}}
    mount = {"name": "cvmfs", "mountPath": "/cvmfs", "readOnly": True, "mountPropagation": "HostToContainer"}
    more = {"trust": {"enabled": True, "base": str(_ANCHORS)}, "extraVolumeMounts": [mount]}
    return {**host, "extraVolumes": [{"name": "cvmfs"} | sources[cvmfs["mount"]]], "credentials": credentials | more}


def _exposed(part: Mapping[str, Any]) -> Values:
    return {"enabled": part["expose"] != "none", "service": _service(part)}


def _service(part: Mapping[str, Any]) -> Values:
    return {"type": "ClusterIP" if part["expose"] == "none" else part["expose"]}


def _autoscaling(settings: Mapping[str, Any], part: Mapping[str, Any]) -> Values:
    kind = settings["autoscaling"]
    if kind == "none":
        return {"enabled": False}
    limits = {"minReplicas": part["count"], "maxReplicas": part["max"]}
    return {"enabled": True, "kind": kind, "prometheus": settings["monitoring"].get("prometheus", "")} | limits


def _tls(settings: Mapping[str, Any], secret_name: str, otherwise: Mapping[str, str]) -> Values:
    tls = settings["tls"]
    reference = {"name": tls["issuer"], "kind": "ClusterIssuer"} if "issuer" in tls else dict(otherwise)
    return {"secretName": secret_name, "certManager": {"enabled": tls["cert_manager"], "issuerRef": reference}}


def _credentials(settings: Mapping[str, Any], *, proxy: str = "", idtoken: str = "") -> Values:
    return {
        "url": URL,
        "audience": AUDIENCE,
        "ca": {"kind": "Secret", "name": settings["tls"]["secret"], "key": "ca.crt"},
        **({"proxy": {"enabled": True, "profile": proxy}} if proxy else {}),
        **({"idtoken": {"enabled": True, "profile": idtoken}} if idtoken else {}),
        **_image_of(settings, "ttscache"),
    }


def _common(settings: Mapping[str, Any], chart: str, *, metrics: bool = True) -> Values:
    monitoring = settings["monitoring"]
    monitor = {"enabled": monitoring["operator"], "labels": monitoring["labels"]}
    values: Values = {"imagePullSecrets": [{"name": name} for name in settings["pull_secrets"]]}
    if metrics:
        values["metrics"] = {"namespace": monitoring["namespace"], "podMonitor": monitor}
    return values | _image_of(settings, chart)


def _image_of(settings: Mapping[str, Any], name: str) -> Values:
    """Return an image of the site file's as the charts have it; without one the charts' own stands."""
    given = settings["images"].get(name)
    if given is None:
        return {}
    rest, _, digest = given.partition("@")
    head, slash, last = rest.rpartition("/")
    repository, _, tag = last.partition(":")
    return {"image": {"registry": "", "repository": head + slash + repository, "tag": tag, "digest": digest}}


def _class(settings: Mapping[str, Any]) -> Values:
    return {"storageClassName": settings["volumes"]["class"]} if "class" in settings["volumes"] else {}


def _monitoring(settings: Mapping[str, Any]) -> Values:
    monitoring = settings["monitoring"]
    return {
        "rules": {"enabled": monitoring["operator"], "labels": monitoring["labels"]},
        "dashboards": {"enabled": monitoring["dashboards"]},
        "adapter": {"enabled": settings["autoscaling"] == "hpa"},
    }
