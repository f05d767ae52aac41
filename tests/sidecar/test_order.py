"""Orders and outcomes on their way between two processes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscache.durable import Owner
from ttscache.sidecar.order import Item, Kind, Order, Outcome, State

# all that a path of the machine may hold: also bytes that are no text
names = st.binary(min_size=1, max_size=20).map(lambda raw: raw.replace(b"\0", b"x").decode(errors="surrogateescape"))
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: Path("/", *parts))
times = st.none() | st.floats(allow_nan=False)
items = st.builds(
    Item,
    kind=st.sampled_from(Kind),
    path=paths,
    profile=st.none() | st.text(),
    base=st.none() | paths,
    due=st.booleans(),
)
owners = st.builds(Owner, uid=st.integers(0, 2**32 - 2), gid=st.integers(-1, 2**32 - 2))
orders = st.builds(
    Order,
    url=st.text(),
    ca_file=st.none() | paths,
    token_file=paths,
    min_left=st.integers(),
    mode=st.sampled_from([0o400, 0o600]),
    owner=st.none() | owners,
    items=st.lists(items, max_size=5).map(tuple),
)
outcomes = st.builds(
    Outcome,
    state=st.sampled_from(State),
    written_at=times,
    not_after=times,
    code=st.none() | st.text(),
    message=st.none() | st.text(),
    retry_after=times,
    exit_status=st.integers(0, 255),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(orders)
def test_an_order_comes_as_it_was_sent(order: Order) -> None:
    sent = order.to_json()
    assert Order.from_json(sent) == order
    assert sent.isascii()  # whatever the locale of the two is


@given(outcomes)
def test_an_outcome_comes_as_it_was_sent_on_one_line(outcome: Outcome) -> None:
    sent = outcome.to_json()
    assert Outcome.from_json(sent) == outcome
    assert sent.isascii()
    assert len(sent.splitlines()) == 1


@given(outcomes, st.data())
def test_half_a_line_of_a_killed_worker_is_no_outcome(outcome: Outcome, data: st.DataObject) -> None:
    sent = outcome.to_json()
    half = sent[: data.draw(st.integers(0, len(sent) - 1))]
    with pytest.raises(json.JSONDecodeError):
        Outcome.from_json(half)


@given(st.text() | json_values.map(repr) | json_values.map(lambda value: f'{{"state": {value!r}}}'))
def test_what_is_no_outcome(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Outcome.from_json(text)


def test_what_is_more_than_an_outcome() -> None:
    with pytest.raises(TypeError):
        Outcome.from_json('{"state": "kept", "more": 1}')
