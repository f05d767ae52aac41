"""Globus over what we mint: whether a GSI handshake comes about, and under which name."""

from datetime import timedelta
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import ProxyKind
from tests.acceptance.answers import Answer, answer
from tests.acceptance.cases import GLOBUS, Case, cases, expired_for
from tests.acceptance.globus import REFUSAL, Globus
from tests.acceptance.site import JANE, JOE, TOP, Site
from tests.tools.minting import delegate, end_entity, write_private

pytestmark = pytest.mark.acceptance


def _proxy(site: Site, dn: str) -> Credential:
    return delegate(end_entity(site.ca, dn))


@pytest.mark.parametrize("case,expected", cases(GLOBUS))
def test_takes_the_good_and_refuses_the_bad(
    globus: Globus, site: Site, tmp_path: Path, case: Case, expected: Answer
) -> None:
    verdict = globus.judges(case.write(site, tmp_path))
    assert answer(verdict, REFUSAL) is expected, verdict
    if expected is Answer.UNSHOWN:
        assert globus.authenticates(write_private(tmp_path / "good", _proxy(site, JANE).to_pem()))  # it works


def test_server_itself_refuses_an_expired_proxy(globus: Globus, site: Site, tmp_path: Path) -> None:
    file = write_private(tmp_path / "proxy", expired_for(timedelta(hours=2), site))
    verdict = globus.authenticates(file, clock=timedelta(hours=-2.5))
    assert not verdict
    assert "The certificate has expired" in verdict.text


def test_has_an_independent_proxy_for_somebody_else(globus: Globus, site: Site, tmp_path: Path) -> None:
    proxy = delegate(end_entity(site.ca, JANE), ProxyKind.INDEPENDENT)
    verdict = globus.authenticates(write_private(tmp_path / "proxy", proxy.to_pem()))
    assert verdict.dn == DistinguishedName(proxy.leaf.subject).slash, verdict


@pytest.mark.parametrize("cn", ["Jane Doe", "Jane Doe (jd), =#1", "robot: jane@example.org", "u-0f0f-12"])
def test_prints_the_name_as_we_write_it(globus: Globus, site: Site, tmp_path: Path, cn: str) -> None:
    dn = f"{TOP}/OU=People/CN={cn}"
    verdict = globus.authenticates(write_private(tmp_path / "proxy", _proxy(site, dn).to_pem()))
    assert verdict.dn == dn, verdict


def test_server_serves_the_one_name_in_its_lists_alone(site: Site, tmp_path: Path) -> None:
    of_jane = Globus(tmp_path, site.trust_dir, site.host, whose=JANE)
    jane, joe = (of_jane.stores(write_private(tmp_path / "proxy", _proxy(site, dn).to_pem())) for dn in (JANE, JOE))
    assert jane, jane
    assert not joe
    assert f"Authenticated client {JOE}" in joe.text  # he is who he is
    assert f'"{JOE}" not authorized to store' in joe.text


@pytest.mark.parametrize("mode,taken", [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_reads_no_file_that_others_may_read(
    globus: Globus, site: Site, tmp_path: Path, mode: int, *, taken: bool
) -> None:
    file = write_private(tmp_path / "proxy", _proxy(site, JANE).to_pem(), mode=mode)
    verdict = globus.authenticates(file)
    assert verdict.ok is taken, verdict
