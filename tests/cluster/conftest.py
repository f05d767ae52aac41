"""Nothing here is run unless TTSCACHE_CLUSTER says so: it needs a cluster, and takes ten minutes."""

import os
import secrets
from collections.abc import Iterator

import pytest

from k8s_manifests.cluster import Api
from tests.cluster.kube import Kube
from tests.cluster.outside import Outside
from tests.cluster.reader import Reader
from tests.cluster.settings import Images
from tests.cluster.site import CACHE, Site

_ASKED = "TTSCACHE_CLUSTER"
collect_ignore_glob = [] if os.environ.get(_ASKED) else ["test_*.py"]


def pytest_configure() -> None:
    if os.environ.get(_ASKED) and not os.environ.get("KUBECONFIG"):
        raise pytest.UsageError("KUBECONFIG must name a cluster, in which namespaces and cluster roles may be made")


@pytest.fixture(scope="session")
def images() -> Images:
    return Images.from_environment()


@pytest.fixture(scope="session")
def kube() -> Iterator[Kube]:
    with Api(None, None) as api:
        yield Kube(api)


@pytest.fixture(scope="session")
def outside(kube: Kube, images: Images, name: str) -> Iterator[Outside]:
    with kube.namespace(f"{name}-outside") as namespace:
        around = Outside(kube, namespace, images)
        around.start()
        yield around


@pytest.fixture(scope="session")
def name() -> str:
    return f"ttscache-test-{secrets.token_hex(3)}"


@pytest.fixture(scope="session")
def site(kube: Kube, images: Images, outside: Outside, name: str) -> Iterator[Site]:
    with kube.namespace(name) as namespace:
        made = Site(kube, namespace, images, outside)
        made.give()
        made.bring_up()
        outside.start_origin(made.ca(), {CACHE: "cache"})
        yield made


@pytest.fixture(scope="session")
def reader(site: Site) -> Reader:
    reads = Reader(site.kube, site.namespace, site.images)
    reads.start(site.source, site.daemon_url)
    return reads
