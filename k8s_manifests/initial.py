"""The first site file: what was said, and in comments what else can be."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import yaml

from k8s_manifests.loading import preset


def communities() -> list[str]:
    """Return the communities that there are presets for."""
    found = files(__package__).joinpath("communities").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in found if entry.name.endswith(".yaml"))


def site_file(
    *, name: str, community: str, client_id: str, origins: Sequence[str], workers: int, contexts: Sequence[str]
) -> str:
    """Return the text of a site file."""
    pool = (
        "  own: true                      # no pool of the experiment's: batch on demand, here\n"
        "  signing_key: {secret: pool-key, key: POOL}"
        if preset(community)["pool"]["own"]
        else "  idtoken: {secret: pool-idtoken, key: token}   # what the pool issued to the site"
    )
    parts = [
        "# A stateless site: what it is. `ttscache site schema` has every key with its meaning and default.",
        f"name: {_scalar(name)}",
        f"community: {community}",
        "",
        "identity:                        # by which the site's pods act",
        f"  client_id: {_scalar(client_id)}",
        "  client_secret: {secret: iam-client, key: client_secret}   # Secrets are named here, and never inside",
        "",
        "pool:",
        pool,
        "",
        "tls:                             # or `cert_manager: true`",
        "  secret: ttscache-tls",
        "  host_secret: xrootd-host",
        "",
        f"workers: {{count: {workers}, cores: 8, memory: 16Gi, disk: 100Gi}}",
        "",
        _caches(origins),
        "",
        "squid: {count: 2}",
        "autoscaling: none                # hpa or keda: workers on the pool's demand, caches on traffic",
        "monitoring: {operator: false}    # true: monitors, rules and dashboards for the Prometheus operator",
    ]
    return "\n".join([*parts, *_clusters(contexts)]) + "\n"


def _caches(origins: Sequence[str]) -> str:
    if not origins:
        return "caches: []                       # such as {origin: root://HOST:1094, count: 2, size: 500Gi}"
    names = ["xcache", *(f"xcache-{number}" for number in range(2, len(origins) + 1))]
    entries = zip(names, origins, strict=True)
    return "caches:\n" + "\n".join(
        f"  - {{name: {name}, origin: {_scalar(origin)}, count: 1, size: 500Gi}}" for name, origin in entries
    )


def _clusters(contexts: Sequence[str]) -> list[str]:
    if not contexts:
        return []
    entries = [f"  - {{name: c{number}, context: {_scalar(name)}}}" for number, name in enumerate(contexts, 1)]
    return ["", "clusters:                        # one site with one name, however many", *entries]


def _scalar(text: str) -> str:
    """Return a text as YAML writes it in a line, in quotes where it needs them."""
    return (
        yaml.safe_dump(text, default_style='"' if set(text) & set(",{}[]:#\"'") else None).removesuffix("...\n").strip()
    )
