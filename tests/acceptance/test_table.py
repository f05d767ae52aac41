"""`docs/consumers.md` is in step with what the tests expect of each consumer."""

from collections.abc import Mapping, Sequence
from enum import Enum

import pytest

from tests.acceptance import cases, voms_cases
from tests.acceptance.table import ATTRIBUTES, CHAINS, DOCUMENT, Case, expected, table


@pytest.mark.parametrize(
    "titles,rows,consumers",
    [
        pytest.param(CHAINS, cases.CASES, cases.Consumer, id="chains"),
        pytest.param(ATTRIBUTES, voms_cases.CASES, voms_cases.Consumer, id="attributes"),
    ],
)
def test_page_is_in_step(titles: Mapping[Enum, str], rows: Sequence[Case], consumers: type[Enum]) -> None:
    assert set(titles) == set(consumers)
    assert table(titles, rows, expected) in DOCUMENT.read_text(), "run `make consumers`"
