"""Who may read at the site's storage: its own identity, in the files that XRootD reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from k8s_manifests.daemon import name_of
from k8s_manifests.site import Site
from proxy_gen.mapfiles import gridmap
from proxy_gen.mapfiles.xrootd import Access, write_authdb


def authorization(site: Site, settings: Mapping[str, Any], *, exports: Iterable[str], writable: bool) -> dict[str, Any]:
    """Return grid-mapfile and authorization file; others are let in by the site file's `values`."""
    account = settings["identity"]["account"]
    paths = frozenset(exports)
    access = Access(modify=paths) if writable else Access(read=paths)
    return {
        "gridmap": gridmap.write({name_of(site, settings): account}, gridmap.Reader.GRIDMAP),
        "authdb": write_authdb({account: access}),
    }
