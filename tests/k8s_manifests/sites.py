"""Site files for tests."""

from pathlib import Path

import yaml

from k8s_manifests.loading import parse
from k8s_manifests.site import Site

SITE = """
name: T3_IT_Opportunistic
community: cms
identity:
  client_id: t3-it
  client_secret: {secret: iam-client, key: client_secret}
pool:
  idtoken: {secret: pool-idtoken, key: token}
workers: {count: 2, cores: 4}
caches:
  - {origin: "root://origin.example:1094", count: 2}
"""
PATH = Path("/etc/site.yaml")


def site(text: str = SITE, **more: object) -> Site:
    """Return the site of a text, with keys put in or replaced."""
    document = {**yaml.safe_load(text), **more}
    return parse(yaml.safe_dump(document).encode(), PATH)
