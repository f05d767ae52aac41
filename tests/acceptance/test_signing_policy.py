"""Globus over signing policies: we read each as it does, or are the stricter one."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from proxy_gen.errors import VerificationError
from proxy_gen.trust import TrustAnchors, subject_hash
from proxy_gen.verify import verify
from tests.acceptance.globus import Globus, GlobusVerdict
from tests.acceptance.site import Site
from tests.proxy_gen.policies import CASES, JANE, MAIL, Case
from tests.tools.minting import delegate, end_entity, write_private

pytestmark = pytest.mark.acceptance

# what one could think otherwise of; the others are tried in the library's own tests
ASKED = {
    "the very name",
    "no match",
    "star in the middle",
    "two stars",
    "star for nothing",
    "question mark",
    "capitals",
    "GLOBUS",
    "negative rights first",
    "two conditions",
    "rights are the last one's",
    "hexadecimal",
    "Email for emailAddress",
    "E and a star",
    "no newline at the end",
    "patterns on two lines",
}


@pytest.fixture(scope="module")
def people(site: Site) -> dict[str, Credential]:
    return {dn: delegate(end_entity(site.ca, dn)) for dn in (JANE, MAIL)}


def _directory(site: Site, into: Path, policy: str | None) -> Path:
    """Copy the site's trust directory, with this policy for its CA or none."""
    shutil.copytree(site.trust_dir, into)
    file = into / f"{subject_hash(site.ca.certificate.subject)}.signing_policy"
    if policy is None:
        file.unlink()
    else:
        file.write_text(policy)
    return into


def _ours(credential: Credential, directory: Path) -> str | None:
    """Return the code with which we refuse."""
    trust = TrustAnchors.from_files({file.name: file.read_bytes() for file in directory.iterdir()})
    try:
        verify(credential.chain, trust, datetime.now(UTC))
    except VerificationError as error:
        return error.code
    return None


def _globus(site: Site, credential: Credential, directory: Path, scratch: Path) -> GlobusVerdict:
    proxy = write_private(scratch / "proxy", credential.to_pem())
    return Globus(scratch, directory, site.host).authenticates(proxy)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ASKED], ids=lambda case: case.name)
def test_a_policy(site: Site, people: dict[str, Credential], tmp_path: Path, case: Case) -> None:
    credential = people[case.subject]
    directory = _directory(site, tmp_path / "certificates", case.content)
    verdict = _globus(site, credential, directory, tmp_path)
    assert verdict.ok is case.permitted, verdict
    expected = "signing_policy_malformed" if case.malformed else "signing_policy"
    assert _ours(credential, directory) == (None if case.permitted and not case.malformed else expected)


def test_without_a_policy_nobody_passes(site: Site, people: dict[str, Credential], tmp_path: Path) -> None:
    directory = _directory(site, tmp_path / "certificates", None)
    assert not _globus(site, people[JANE], directory, tmp_path)
    assert _ours(people[JANE], directory) == "signing_policy_missing"
