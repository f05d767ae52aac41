"""The soak in short: a fixed seed, most kinds of faults, some seconds for each."""

import json
from pathlib import Path

import pytest

from tests.soak.run import Size, soak
from tests.soak.schedule import Strike

SEED = 20
STRIKES = [
    # the first refreshes are after four seconds; who is suspended is refused his in peace
    Strike(1.0, "user.suspend", "3", 11.0),
    Strike(8.0, "iam.lost", "", 1.5),
    Strike(9.5, "store.latency", "b", 1.0),
    Strike(9.7, "replica.kill_refreshing", "a", 0.2),
    Strike(11.0, "store.reset", "b", 1.0),
    Strike(12.5, "iam.link_blackhole", "", 1.0),
    Strike(13.0, "replica.reload", "b", 0.5),
    Strike(14.0, "store.kill", "", 0.5),
    Strike(15.0, "iam.errors", "", 0.8),
    Strike(15.5, "replica.term", "b", 0.0),
]


@pytest.mark.timeout(180)
async def test_faults_under_load_break_no_promise(tmp_path: Path) -> None:
    report = await soak(SEED, STRIKES, tmp_path, lambda _: None, Size(persons=5, clients=4))
    assert report["ok"], json.dumps(report, indent=2)
    assert report["sessions"]["refreshed_at_the_iam"] > 8
