"""When things are looked at: every number that comes out of any history."""

import math
import random
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from ttscache.sidecar.order import Outcome, State
from ttscache.sidecar.schedule import Plan, pause

NOW = 1_000_000.0
YEAR = 365 * 86400.0
# a first retry after half a second, all else after one
FLOOR, RETRY_FLOOR = 1.0, 0.5
LONGEST_RETRY = 300 * 1.2
moments = st.floats(NOW - YEAR, NOW + YEAR)
failures = st.integers(1, 10**6)
statuses = st.integers(0, 5)
good = st.builds(Outcome, st.sampled_from([State.RENEWED, State.KEPT]), moments, moments)
failed = st.builds(
    Outcome,
    st.just(State.FAILED),
    not_after=st.none() | moments,
    retry_after=st.none() | st.floats(),
    exit_status=statuses,
)
anything = st.builds(
    Outcome,
    st.sampled_from(State),
    st.none() | moments,
    st.none() | moments,
    retry_after=st.none() | st.floats(),
    exit_status=statuses,
)


@given(anything, failures)
def test_it_is_never_at_once_and_never_for_ever(outcome: Outcome, number: int) -> None:
    seconds = pause(outcome, number, NOW)
    assert math.isfinite(seconds)
    assert seconds >= (RETRY_FLOOR if outcome.state is State.FAILED else FLOOR)


@given(good)
@example(Outcome(State.KEPT, NOW + 100 * 3600, NOW + 3600))
def test_it_never_sleeps_past_the_end(outcome: Outcome) -> None:
    assert outcome.not_after is not None
    assert pause(outcome, 0, NOW) <= max(FLOOR, outcome.not_after - NOW)


@given(failed, failures)
def test_it_never_backs_off_past_the_end_of_what_is_there(outcome: Outcome, number: int) -> None:
    seconds = pause(outcome, number, NOW)
    assert seconds <= LONGEST_RETRY
    if outcome.not_after is not None and outcome.not_after > NOW:
        assert seconds <= max(FLOOR, (outcome.not_after - NOW) / 2)


@given(st.floats(0, YEAR), st.floats(10, YEAR))
def test_half_of_a_life_with_jitter(age: float, left: float) -> None:
    written_at, not_after = NOW - age, NOW + left
    lifetime = not_after - written_at
    looked_at = pause(Outcome(State.KEPT, written_at, not_after), 0, NOW) + NOW
    if age < 0.45 * lifetime - FLOOR:
        assert 0.449 * lifetime <= looked_at - written_at <= 0.551 * lifetime
    else:  # half of what is left, or what is left of the first half
        assert looked_at - NOW <= max(FLOOR, 0.551 * left, 0.551 * lifetime - age)


def test_what_is_issued_together_is_not_renewed_together() -> None:
    looks = [pause(Outcome(State.RENEWED, NOW, NOW + 3600), 0, NOW) for _ in range(1000)]
    assert max(looks) - min(looks) > 300


@given(statuses)
def test_failures_are_tried_again_more_and_more_seldom(status: int) -> None:
    longest = {2: 5, 3: 120, 4: 15}.get(status, 60)
    for number in range(1, 20):
        seconds = pause(Outcome(State.FAILED, exit_status=status), number, NOW)
        assert min(2 ** (number - 1), longest) / 2 <= seconds <= min(2 ** (number - 1), longest)


@given(st.floats(0, 300), failures)
def test_what_the_daemon_asks_for_is_kept_to(retry_after: float, number: int) -> None:
    outcome = Outcome(State.FAILED, retry_after=retry_after, exit_status=4)
    assert pause(outcome, number, NOW) >= retry_after


def test_trust_and_the_revoked() -> None:
    for _ in range(100):
        assert 3000 <= pause(Outcome(State.KEPT, NOW), 0, NOW) <= 3600
        assert 30 <= pause(Outcome(State.REMOVED, NOW - 10, NOW + 10), 0, NOW) <= 60


@given(moments, moments, st.floats(0, YEAR), st.floats(0, YEAR))
def test_a_plan_is_due_by_either_clock(now: float, jumped: float, seconds: float, passed: float) -> None:
    plan, monotonic = Plan.after(seconds, now, 5.0), 5.0 + passed
    due = plan.is_due(jumped, monotonic)
    assert due is (jumped >= plan.at or monotonic >= plan.at_monotonic)
    left = plan.left(jumped, monotonic)
    assert (left == 0) is due
    # by the clock that does not jump it is never longer than it was to be
    assert left <= plan.at_monotonic - 5.0


@dataclass
class Machine:
    """A machine whose wall clock jumps, and a credential that is renewed when it is looked at."""

    lifetime: float
    wall: float = NOW
    monotonic: float = 0.0

    def __post_init__(self) -> None:
        self.looks: list[float] = []
        self.look()

    def look(self) -> None:
        self.looks.append(self.monotonic)
        outcome = Outcome(State.RENEWED, self.wall, self.wall + self.lifetime)
        self.plan = Plan.after(pause(outcome, 0, self.wall), self.wall, self.monotonic)

    def pass_to(self, moment: float) -> None:
        """Let time pass as the agent does: it sleeps, and looks at the clocks at least every ten seconds."""
        while self.monotonic < moment:
            step = min(10.0, self.plan.left(self.wall, self.monotonic), moment - self.monotonic)
            self.monotonic += step
            self.wall += step
            if self.plan.is_due(self.wall, self.monotonic):
                self.look()


jumps = st.lists(st.tuples(st.floats(0, 3600), st.floats(-YEAR, YEAR)), max_size=5)


@given(st.floats(60, 7200), jumps, st.randoms(use_true_random=False))
def test_a_clock_that_jumps_makes_no_storm_and_no_oversleeping(
    lifetime: float, history: list[tuple[float, float]], chance: random.Random
) -> None:
    machine = Machine(lifetime)
    for moment, jump in sorted(history):
        machine.pass_to(moment)
        machine.wall += jump
    machine.pass_to(7200)
    gaps = [later - sooner for sooner, later in zip(machine.looks, machine.looks[1:], strict=False)]
    # each jump may make one of them come sooner, and none makes one come later
    assert sum(gap < 0.449 * lifetime for gap in gaps) <= len(history)
    assert all(gap <= 0.551 * lifetime + 1 for gap in gaps)
    assert 7200 - machine.looks[-1] <= 0.551 * lifetime + 1
