from hypothesis import given
from hypothesis import strategies as st

from ttscache.net.backoff import backoff


@given(st.integers(min_value=1, max_value=10**9))
def test_it_doubles_up_to_four_seconds_and_at_most_half_of_it_is_jitter(failures: int) -> None:
    longest = min(4.0, 0.25 * 2 ** min(failures - 1, 20))
    assert longest / 2 <= backoff(failures) <= longest


def test_it_is_jittered() -> None:
    assert len({backoff(3) for _ in range(20)}) > 1
