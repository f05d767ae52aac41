"""LCMAPS over what we mint: chains, and accounts by DN and by FQAN."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.acceptance import voms_cases
from tests.acceptance.answers import Answer, answer
from tests.acceptance.cases import LCMAPS, Case, cases, expired_for
from tests.acceptance.lcmaps import REFUSAL, REFUSAL_FQAN, Lcmaps
from tests.acceptance.site import JANE, JOE, STRANGER, Site
from tests.acceptance.voms_cases import attributes, voms_proxy
from tests.tools.minting import delegate, end_entity

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("case,expected", cases(LCMAPS))
def test_takes_the_good_and_refuses_the_bad(lcmaps: Lcmaps, site: Site, case: Case, expected: Answer) -> None:
    verdict = lcmaps.by_dn(case.pem(site))
    assert answer(verdict, REFUSAL) is expected, verdict


@pytest.mark.parametrize("case,expected", voms_cases.cases(voms_cases.LCMAPS))
def test_takes_the_good_attributes_and_refuses_the_bad(
    lcmaps: Lcmaps, site: Site, case: voms_cases.Case, expected: Answer
) -> None:
    verdict = lcmaps.by_fqan(case.pem(site))
    assert answer(verdict, REFUSAL_FQAN) is expected, verdict


@pytest.mark.parametrize("dn,account", [(JANE, "daemon"), (JOE, "bin")], ids=["jane", "joe"])
def test_maps_the_dn(lcmaps: Lcmaps, site: Site, dn: str, account: str) -> None:
    assert lcmaps.by_dn(delegate(end_entity(site.ca, dn)).to_pem()).account == account


def test_refuses_a_dn_that_is_not_mapped_because_it_is_not(lcmaps: Lcmaps, site: Site) -> None:
    verdict = lcmaps.by_dn(delegate(end_entity(site.ca, STRANGER)).to_pem())
    assert not verdict
    assert "verify proxy plugin succeeded" in verdict.text
    assert f'No match for a localaccount for user "{STRANGER}"' in verdict.text


@pytest.mark.parametrize(
    "fqans,account",
    [
        pytest.param(["/cms"], "daemon", id="group"),
        pytest.param(["/cms/Role=production", "/cms"], "bin", id="role-first"),
        pytest.param(["/cms", "/cms/Role=production"], "daemon", id="group-first"),
        pytest.param(["/cms/heavy/Role=pilot"], "games", id="role-in-group"),
        pytest.param(["/cms/heavy", "/cms/Role=production"], "bin", id="first-one-unmapped"),
    ],
)
def test_maps_the_first_fqan_that_it_knows(lcmaps: Lcmaps, site: Site, fqans: list[str], account: str) -> None:
    jane = end_entity(site.ca, JANE)
    assert lcmaps.by_fqan(voms_proxy(jane, attributes(site.cms, jane, *fqans)).to_pem()).account == account


def test_refuses_an_expired_chain_although_the_attributes_would_map(lcmaps: Lcmaps, site: Site) -> None:
    verdict = lcmaps.by_fqan(expired_for(timedelta(hours=2), site))
    assert not verdict
    assert "certificate has expired" in verdict.text


def test_needs_no_voms_directory_to_map_a_dn(site: Site, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    lcmaps = Lcmaps(tmp_path, site.trust_dir, tmp_path / "none", {JANE: "daemon"}, {})
    jane = end_entity(site.ca, JANE)
    proxy = voms_proxy(jane, attributes(site.cms, jane, "/cms")).to_pem()
    assert lcmaps.by_dn(proxy).account == "daemon"
    assert not lcmaps.by_fqan(proxy)
