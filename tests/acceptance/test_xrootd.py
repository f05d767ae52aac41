"""XRootD over what we mint, through both of its doors, with the DN mapped to an account."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.acceptance.answers import Answer, answer
from tests.acceptance.cases import GSI, HTTPS, Case, cases, expired_for
from tests.acceptance.site import JANE, JOE, STRANGER, Site
from tests.acceptance.xrootd import REFUSAL_GSI, REFUSAL_HTTPS, UNMAPPED_GSI, UNMAPPED_HTTPS, XRootD
from tests.tools.minting import delegate, end_entity, write_private

pytestmark = pytest.mark.acceptance


def _proxy_of(dn: str, site: Site, directory: Path) -> Path:
    return write_private(directory / "proxy", delegate(end_entity(site.ca, dn)).to_pem())


@pytest.mark.parametrize("case,expected", cases(GSI))
def test_gsi_takes_the_good_and_refuses_the_bad(
    xrootd: XRootD, site: Site, tmp_path: Path, case: Case, expected: Answer
) -> None:
    verdict = xrootd.gsi_read(case.write(site, tmp_path))
    assert answer(verdict, REFUSAL_GSI) is expected, verdict
    assert UNMAPPED_GSI not in verdict.text  # the credential decided, not the map
    if expected is Answer.UNSHOWN:
        assert xrootd.gsi_read(_proxy_of(JANE, site, tmp_path))  # the server is there


@pytest.mark.parametrize("case,expected", cases(HTTPS))
def test_https_takes_the_good_and_refuses_the_bad(
    xrootd: XRootD, site: Site, tmp_path: Path, case: Case, expected: Answer
) -> None:
    verdict = xrootd.https_read(case.write(site, tmp_path))
    assert answer(verdict, REFUSAL_HTTPS) is expected, verdict
    assert UNMAPPED_HTTPS not in verdict.text


def test_server_itself_refuses_an_expired_proxy(xrootd: XRootD, site: Site, tmp_path: Path) -> None:
    file = write_private(tmp_path / "proxy", expired_for(timedelta(hours=2), site))
    verdict = xrootd.gsi_read(file, clock=timedelta(hours=-2.5))
    assert not verdict
    assert "Proxy: certificate expired" in verdict.text


def test_refuses_a_name_that_is_not_mapped_because_it_is_not(xrootd: XRootD, site: Site, tmp_path: Path) -> None:
    file = _proxy_of(STRANGER, site, tmp_path)
    for verdict, reason in [(xrootd.gsi_read(file), UNMAPPED_GSI), (xrootd.https_read(file), UNMAPPED_HTTPS)]:
        assert not verdict
        assert reason in verdict.text
        assert STRANGER in verdict.text


@pytest.mark.parametrize("dn,account,other", [(JANE, "jane", "joe"), (JOE, "joe", "jane")])
def test_gives_the_mapped_account_its_own_and_no_more(
    xrootd: XRootD, site: Site, tmp_path: Path, dn: str, account: str, other: str
) -> None:
    file = _proxy_of(dn, site, tmp_path)
    for read in (xrootd.gsi_read, xrootd.https_read):
        own, foreign = read(file, f"/data/{account}/file"), read(file, f"/data/{other}/file")
        assert own
        assert f"for {account} alone" in own.text
        assert not foreign
        assert "permission denied" in foreign.text.lower(), foreign
