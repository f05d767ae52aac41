"""XRootD that gives rights by VOMS attributes, through both of its doors."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.answers import Answer, answer
from tests.acceptance.site import JANE, Site
from tests.acceptance.voms_cases import XROOTD_GSI, XROOTD_HTTPS, Case, attributes, cases, voms_proxy
from tests.acceptance.xrootd import XRootD
from tests.acceptance.xrootd_voms import REFUSAL_GSI, REFUSAL_HTTPS, vo_storage
from tests.tools.minting import end_entity, write_private

pytestmark = pytest.mark.acceptance

# groups' rights by the authorization file, accounts' as well; the VOMS map has the more general last
_AUTHDB = """\
g /cms /data/cms rl
g /cms/heavy /data/heavy rl
g /atlas /data/atlas rl
u cmsprod /data/production rl
u heavypilot /data/pilot rl
"""
_VOMS_MAP = """\
"/cms/Role=production/Capability=NULL" cmsprod
"/cms/heavy/Role=pilot/Capability=NULL" heavypilot
"""
_ROOMS = ("cms", "heavy", "atlas", "production", "pilot")


@pytest.fixture(scope="module")
def storage(site: Site) -> Iterator[XRootD]:
    files = {f"{room}/file": f"for {room}" for room in _ROOMS}
    with vo_storage(
        site.trust_dir, site.voms_dir, site.host, authdb=_AUTHDB, voms_map=_VOMS_MAP, files=files
    ) as server:
        yield server


def _proxy(site: Site, directory: Path, *fqans: str) -> Path:
    jane = end_entity(site.ca, JANE)
    authority = site.atlas if fqans[0].startswith("/atlas") else site.cms
    return write_private(directory / "proxy", voms_proxy(jane, attributes(authority, jane, *fqans)).to_pem())


@pytest.mark.parametrize("case,expected", cases(XROOTD_GSI))
def test_gsi_takes_the_good_and_refuses_the_bad(
    storage: XRootD, site: Site, tmp_path: Path, case: Case, expected: Answer
) -> None:
    verdict = storage.gsi_read(case.write(site, tmp_path), "/data/cms/file")
    assert answer(verdict, REFUSAL_GSI) is expected, verdict
    if expected is Answer.UNSHOWN:
        assert storage.gsi_read(_proxy(site, tmp_path, "/cms"), "/data/cms/file")  # the server is there


@pytest.mark.parametrize("case,expected", cases(XROOTD_HTTPS))
def test_https_takes_the_good_and_refuses_the_bad(
    storage: XRootD, site: Site, tmp_path: Path, case: Case, expected: Answer
) -> None:
    verdict = storage.https_read(case.write(site, tmp_path), "/data/cms/file")
    assert answer(verdict, REFUSAL_HTTPS) is expected, verdict


@pytest.mark.parametrize(
    "fqans,account,rooms",
    [
        (["/cms"], None, {"cms"}),
        (["/cms/heavy"], None, {"heavy"}),
        (["/cms", "/cms/heavy"], None, {"cms", "heavy"}),
        (["/cms/Role=production", "/cms"], "cmsprod", {"cms", "production"}),
        (["/cms/heavy/Role=production"], None, {"heavy"}),
        (["/atlas/Role=production"], None, {"atlas"}),
        # the first FQAN that the map has decides, whatever the order of the map
        (["/cms/heavy/Role=pilot", "/cms/Role=production"], "heavypilot", {"cms", "heavy", "pilot"}),
        (["/cms", "/cms/Role=production", "/cms/heavy/Role=pilot"], "cmsprod", {"cms", "heavy", "production"}),
    ],
    ids=["vo", "group", "both", "role", "role of a group", "role elsewhere", "two roles", "two roles, reversed"],
)
def test_groups_open_their_rooms_and_roles_their_accounts(
    storage: XRootD, site: Site, tmp_path: Path, fqans: list[str], account: str | None, rooms: set[str]
) -> None:
    proxy = _proxy(site, tmp_path, *fqans)
    since = storage.server.position()
    reads = {room: storage.https_read(proxy, f"/data/{room}/file") for room in _ROOMS}
    assert {room for room, verdict in reads.items() if verdict} == rooms, reads
    assert (account in storage.logins(since)) is (account is not None)


def test_gsi_makes_a_role_an_account_too(storage: XRootD, site: Site, tmp_path: Path) -> None:
    since = storage.server.position()
    assert storage.gsi_read(_proxy(site, tmp_path, "/cms/Role=production"), "/data/production/file")
    assert storage.logins(since) == ["cmsprod"]
