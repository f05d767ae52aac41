"""What is replaced by what: decided by ends and identities alone."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ttscache.sidecar.keeping import New, Present, UnfitError, put
from ttscache.sidecar.order import Outcome, State
from ttscache.sidecar.place import Place

NOW = 1_000_000.0
OLD, NEW = b"old", b"new"
JANE, JOE = "/CN=jane", "/CN=joe"
ends = st.integers(1, 100_000).map(lambda left: NOW + left)
ages = st.integers(0, 100_000).map(lambda age: NOW - age)
min_lefts = st.integers(0, 100_000)
presents = st.builds(Present, st.just(JANE), ends, ages, st.booleans())
fitting = st.builds(partial(Present, fits=True), st.just(JANE), ends, ages)
unfit = st.builds(partial(Present, fits=False), st.just(JANE), ends, ages)
news = st.builds(New, st.just(JANE), ends, st.just(NEW))
quick = settings(deadline=None)  # each writes to the disk


class Shelf:
    """A place with a file that is put there before each attempt."""

    def __init__(self, place: Place, directory: Path) -> None:
        self._place = place
        self._file = directory / "file"

    @property
    def content(self) -> bytes:
        return self._file.read_bytes()

    def put(self, present: Present | None, new: New, min_left: float = 0) -> Outcome | UnfitError:
        self._file.write_bytes(OLD)
        try:
            return put(self._place, "file", present, new, min_left=min_left, now=NOW)
        except UnfitError as error:
            return error


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    directory = tmp_path_factory.mktemp("shelf")
    with Place(directory, 0o600, None) as place:
        yield Shelf(place, directory)


@quick
@given(fitting, news, min_lefts)
def test_what_fits_is_never_replaced_by_what_ends_sooner(shelf: Shelf, present: Present, new: New, least: int) -> None:
    shelf.put(present, new, least)
    assert shelf.content == (NEW if new.not_after > present.not_after and new.not_after - NOW >= least else OLD)


@quick
@given(presents, news, min_lefts)
def test_what_is_told_is_what_is_there(shelf: Shelf, present: Present, new: New, least: int) -> None:
    told = shelf.put(present, new, least)
    if shelf.content == NEW:
        assert told == Outcome(State.RENEWED, NOW, new.not_after, new.identity)
    else:
        assert isinstance(told, UnfitError) or told == present.kept()


@quick
@given(fitting, news, min_lefts)
def test_less_than_asked_for_is_refused_even_if_it_ends_later(
    shelf: Shelf, present: Present, new: New, least: int
) -> None:
    told = shelf.put(present, new, least)
    short = new.not_after - NOW < least
    assert isinstance(told, UnfitError) is short
    assert not isinstance(told, UnfitError) or told.code == "lifetime_short"


@quick
@given(st.none() | unfit, news, min_lefts)
def test_less_than_asked_for_is_better_than_nothing(
    shelf: Shelf, present: Present | None, new: New, least: int
) -> None:
    assert shelf.put(present, new, least) == Outcome(State.RENEWED, NOW, new.not_after, new.identity)
    assert shelf.content == NEW


@quick
@given(st.builds(Present, st.just(JOE), ends, ages, st.booleans()), news, min_lefts)
def test_nobody_gets_what_is_somebody_elses(shelf: Shelf, present: Present, new: New, least: int) -> None:
    told = shelf.put(present, new, least)
    assert isinstance(told, UnfitError)
    assert told.code == "identity_changed"
    assert JANE in str(told)
    assert JOE in str(told)
    assert shelf.content == OLD


@given(presents)
def test_fresh_is_what_fits_and_has_half_of_its_life_before_it(present: Present) -> None:
    half_is_over = NOW - present.written_at >= present.not_after - NOW
    assert present.is_fresh(NOW) is (present.fits and not half_is_over)


@given(st.integers(0, 10**9), st.integers(1, 10**9))
@example(59, 3600)
@example(61, 3600)
def test_what_was_written_in_the_future_is_not_fresh(ahead: int, left: int) -> None:
    """But a file server's clock may be a little ahead of ours."""
    present = Present(JANE, NOW + ahead + left, NOW + ahead, fits=True)
    assert present.is_fresh(NOW) is (ahead <= 60)
