"""ARC's server over what we mint: whether a TLS handshake comes about."""

from collections.abc import Iterator

import pytest

from tests.acceptance.answers import Answer, answer
from tests.acceptance.arc import REFUSAL, Arc, arc
from tests.acceptance.cases import ARC, Case, cases
from tests.acceptance.site import Site

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Arc]:
    with arc(tmp_path_factory.mktemp("arc"), site.trust_dir, site.host) as running:
        yield running


@pytest.mark.parametrize("case,expected", cases(ARC))
def test_takes_the_good_and_refuses_the_bad(server: Arc, site: Site, case: Case, expected: Answer) -> None:
    verdict = server.takes(case.pem(site))
    assert answer(verdict, REFUSAL) is expected, verdict
