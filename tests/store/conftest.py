from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.benches import PASSING, STORES, Bench, Times, passing


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture(params=sorted(STORES))
async def bench(request: pytest.FixtureRequest, tmp_path: Path, times: Times) -> AsyncIterator[Bench]:
    made = Bench(STORES[request.param](tmp_path, times), times, PASSING.get(request.param, passing))
    yield made
    await made.store.close()
