"""What the acceptance tests share: a site, and its servers, once for each test session."""

from collections.abc import Iterator

import pytest

from tests.acceptance.authgent import Authgent, authorization_server
from tests.acceptance.daemon import Daemon, daemon_behind
from tests.acceptance.globus import Globus
from tests.acceptance.lcmaps import Lcmaps, lcmaps_of
from tests.acceptance.library import Library
from tests.acceptance.site import GRIDMAP, TOP, Site, make_site
from tests.acceptance.xrootd import XRootD, storage


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def globus(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Globus:
    return Globus(tmp_path_factory.mktemp("globus"), site.trust_dir, site.host)


@pytest.fixture(scope="session")
def xrootd(site: Site) -> Iterator[XRootD]:
    with storage(site.trust_dir, site.host, GRIDMAP) as server:
        yield server


@pytest.fixture(scope="session")
def lcmaps(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Lcmaps:
    return lcmaps_of(site, tmp_path_factory.mktemp("lcmaps"))


@pytest.fixture(scope="session")
def library(site: Site) -> Library:
    return Library(site.trust_dir, site.voms_dir)


@pytest.fixture(scope="session")
def authgent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authgent]:
    with authorization_server(tmp_path_factory.mktemp("authgent")) as server:
        yield server


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, authgent: Authgent, site: Site) -> Iterator[Daemon]:
    with daemon_behind(authgent, site.ca, TOP, tmp_path_factory.mktemp("daemon")) as running:
        yield running
