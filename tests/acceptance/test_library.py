"""Our own verification over the same cases: as strict as the strictest of the others."""

import pytest

from tests.acceptance import voms_cases
from tests.acceptance.answers import Answer, answer
from tests.acceptance.cases import CASES, EVERYBODY, LIBRARY, Case, cases
from tests.acceptance.library import REFUSAL, Library
from tests.acceptance.site import Site

pytestmark = pytest.mark.acceptance

# which keys a consumer can work with is no matter of trust, nor how it reads a file
_MATTERS_OF_ABILITY = frozenset({"proxy P-256", "mode 0640"})


@pytest.mark.parametrize("case,expected", cases(LIBRARY))
def test_takes_the_good_and_refuses_the_bad(library: Library, site: Site, case: Case, expected: Answer) -> None:
    verdict = library.takes(case.pem(site))
    assert answer(verdict, REFUSAL) is expected, verdict


@pytest.mark.parametrize("case,expected", voms_cases.cases(voms_cases.LIBRARY))
def test_takes_the_good_attributes_and_refuses_the_bad(
    library: Library, site: Site, case: voms_cases.Case, expected: Answer
) -> None:
    verdict = library.finds("/cms", case.pem(site))
    assert answer(verdict, REFUSAL) is expected, verdict


def test_is_as_strict_as_the_strictest() -> None:
    taken = {case.name for case in CASES if LIBRARY in case.taken_by}
    assert taken - {case.name for case in CASES if case.taken_by == EVERYBODY} == _MATTERS_OF_ABILITY


def test_is_as_strict_as_the_strictest_about_attributes() -> None:
    verifiers = voms_cases.EVERYBODY - {voms_cases.PRINTER}
    for case in voms_cases.CASES:
        assert (voms_cases.LIBRARY in case.taken_by) <= (verifiers <= case.taken_by), case.name
