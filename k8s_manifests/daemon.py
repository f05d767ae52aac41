"""The daemon's configuration at a site: whose tokens, which pods, which names, which credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from k8s_manifests.site import Cluster, Site

AUDIENCE = "https://ttscache"
URL = "https://ttscache:8443"
_SECRETS = "/run/secrets"  # where the chart mounts them
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_CLUSTER = "cluster"
_PILOT = "pilot"
# The profiles, which the charts' sidecars ask for by these names.
PROXY, IDTOKEN = "proxy", "idtoken"
EXECUTE, SUBMIT = "execute", "submit"
# Which pods may ask for what: (service account, profiles, part of the site that it is in).
_WORKLOADS = (
    ("wn-startd", (PROXY, IDTOKEN), "wn"),
    ("wn-demand", (IDTOKEN,), "wn"),
    ("htcondor-submit", (SUBMIT,), "htcondor"),
    ("htcondor-execute", (EXECUTE,), "htcondor"),
    ("htcondor-demand", (SUBMIT,), "htcondor"),
    ("xrootd", (PROXY,), "xrootd"),
)


def configuration(site: Site, cluster: Cluster, issuer: str) -> dict[str, Any]:
    """Return what the chart does not decide itself. ``issuer`` is what `iss` of the cluster's tokens says."""
    settings = cluster.settings
    return {
        "issuers": [_iam(site, settings), _kubernetes(issuer)],
        "sessions": [{"name": _PILOT, "issuer": site.community} | _standing(settings["identity"])],
        "workloads": [
            {
                "issuer": _CLUSTER,
                "namespace": cluster.namespace,
                "service_account": account,
                "session": _PILOT,
                "profiles": list(profiles),
            }
            for account, profiles in workloads(settings)
        ],
        "mapping": [_rule(site, settings)],
        "profiles": _profiles(settings),
        "authority": {"subject": settings["ca"].get("subject", f"/O=ttscache/OU={site.name}/CN=CA")},
    } | _admin(site, settings)


def workloads(settings: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the site's service accounts that ask for credentials, and the profiles that each may ask for."""
    parts = parts_of(settings)
    for account, profiles, part in _WORKLOADS:
        if parts[part]:
            yield account, profiles
    for cache in settings["caches"]:
        yield f"{cache['name']}-cache", (PROXY, *_tokens_of(cache))
        yield f"{cache['name']}-proxy", (PROXY,)


def _tokens_of(cache: Mapping[str, Any]) -> Iterator[str]:
    """Yield the profile of a cache's token for its origin, if it shows one."""
    if cache["credential"] == "token":
        yield f"origin-{cache['name']}"


def parts_of(settings: Mapping[str, Any]) -> dict[str, bool]:
    """Return which charts a site has."""
    own = bool(settings["pool"]["own"])
    return {
        "ttscache": True,
        "squid": True,
        "cvmfs": settings["cvmfs"]["mount"] != "none",
        "wn": not own,
        "htcondor": own,
        "xcache": bool(settings["caches"]),
        "xrootd": settings.get("storage") is not None,
    }


def secrets(settings: Mapping[str, Any]) -> list[str]:
    """Return the Secrets that the daemon reads, besides its keys and its certificate."""
    return list(dict.fromkeys(each["secret"] for each in _references(settings)))


def _references(settings: Mapping[str, Any]) -> list[Mapping[str, str]]:
    pool, identity = settings["pool"], settings["identity"]
    used = [identity["client_secret"], identity.get("token"), pool.get("signing_key" if pool["own"] else "idtoken")]
    return [each for each in used if each]


def secret_keys(settings: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the Secrets that somebody has to make, with the keys that they must have."""
    tls = settings["tls"]
    found: dict[str, frozenset[str]] = {}
    for each in _references(settings):
        found[each["secret"]] = found.get(each["secret"], frozenset()) | {each["key"]}
    if not tls["cert_manager"]:
        found[tls["secret"]] = frozenset({"tls.crt", "tls.key", "ca.crt"})
        found[tls["host_secret"]] = frozenset({"tls.crt", "tls.key"})
    if "secret" in settings["ca"]:
        more = {"redis-password"} if settings["daemon"]["replicas"] > 1 else set()
        found[settings["ca"]["secret"]] = frozenset({"ca.pem", "ca.key", "seal-1"} | more)
    return found


def _file(reference: Mapping[str, str]) -> dict[str, str]:
    return {"file": f"{_SECRETS}/{reference['secret']}/{reference['key']}"}


def _iam(site: Site, settings: Mapping[str, Any]) -> dict[str, Any]:
    issuer, identity = settings["issuer"], settings["identity"]
    return {
        "name": site.community,
        "url": issuer["url"],
        "token_issuer": issuer["token_issuer"],
        "token_profile": issuer["token_profile"],
        "audiences": [AUDIENCE],
        "exchange": {"client_id": identity["client_id"], "client_secret": _file(identity["client_secret"])},
    }


def _kubernetes(issuer: str) -> dict[str, Any]:
    return {
        "name": _CLUSTER,
        "url": "https://kubernetes.default.svc",
        "token_issuer": issuer,
        "token_profile": "kubernetes",
        "audiences": [AUDIENCE],
        "ca_file": f"{_SERVICE_ACCOUNT}/ca.crt",
        "api": {"token": {"file": f"{_SERVICE_ACCOUNT}/token"}, "review": True},
    }


def _standing(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": _file(identity["token"])} if "token" in identity else {"client_credentials": True}


def _rule(site: Site, settings: Mapping[str, Any]) -> dict[str, Any]:
    identity = settings["identity"]
    return {
        "name": "site",
        "when": {"session": _PILOT},
        "dn": name_of(site, settings),
        "account": identity["account"],
        "fqans": identity["fqans"],
        "profiles": list(_profiles(settings)),
    }


def name_of(site: Site, settings: Mapping[str, Any]) -> str:
    """Return the DN of the site's proxies."""
    return str(settings["identity"].get("dn", f"/O=ttscache/OU={site.name}/CN=pilot"))


def _profiles(settings: Mapping[str, Any]) -> dict[str, Any]:
    pool = settings["pool"]
    proxy: dict[str, Any] = {PROXY: {"type": "x509-proxy", "lifetime": "12h"}}
    for cache in settings["caches"]:
        proxy |= {name: {"type": "access-token", "audiences": [cache["audience"]]} for name in _tokens_of(cache)}
    if not pool["own"]:
        return proxy | {IDTOKEN: {"type": "condor-idtoken", "source": _file(pool["idtoken"])}}
    signed = {
        "type": "condor-idtoken",
        "trust_domain": "htcondor",
        "key_id": "POOL",
        "allow_pool_key": True,
        "key": _file(pool["signing_key"]),
    }
    daemons = [
        "condor:/READ",
        "condor:/WRITE",
        "condor:/ADVERTISE_SCHEDD",
        "condor:/ADVERTISE_MASTER",
        "condor:/DAEMON",
    ]
    return proxy | {
        EXECUTE: {**signed, "user": EXECUTE, "scopes": [*daemons[:2], "condor:/ADVERTISE_STARTD", daemons[3]]},
        SUBMIT: {**signed, "user": SUBMIT, "scopes": daemons},
    }


def _admin(site: Site, settings: Mapping[str, Any]) -> dict[str, Any]:
    groups = settings["issuer"]["admins"]
    return {"admin": {"tokens": [{"issuer": site.community, "groups": list(groups)}]}} if groups else {}
