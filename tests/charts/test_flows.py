"""The policies of a whole site let through what docs/flows.md says, and nothing else."""

import pytest

from tests.charts.cases import case
from tests.charts.flows import Flow, components, expected, flows, half_open, table
from tests.charts.objects import Json, name_of, of_kind, pods
from tests.charts.rendering import KUBES, ROOT, UMBRELLA

_TABLE = table(ROOT / "docs" / "flows.md")
# networks of the values in matrix/, as the table calls them
_NETWORKS = {"192.0.2.0/24": "old workers"}


@pytest.fixture(params=KUBES)
def everything(request: pytest.FixtureRequest) -> list[Json]:
    return case(UMBRELLA, "full").render(request.param)


def test_a_site_with_everything_lets_through_the_whole_table(everything: list[Json]) -> None:
    found, wanted = _flows(everything), expected(_TABLE, everything)
    assert _lines(found - wanted) == [], "let through, and not in docs/flows.md"
    assert _lines(wanted - found) == [], "in docs/flows.md, and not let through"


def test_a_site_as_it_comes_lets_through_what_no_value_brings() -> None:
    objects = case(UMBRELLA, "minimal").render()
    found, wanted = _flows(objects), expected([row for row in _TABLE if not row.when], objects)
    assert _lines(found ^ wanted) == []


def test_both_ends_let_through_the_same(everything: list[Json]) -> None:
    assert _lines(half_open(everything)) == []


def test_no_rule_is_idle(everything: list[Json]) -> None:
    """Without any one of them something is not let through, so each is for something."""
    found = flows(everything)
    for policy in of_kind(everything, "NetworkPolicy"):
        for way in ("ingress", "egress"):
            rules = policy["spec"].get(way, [])
            for rule in rules:
                policy["spec"][way] = [other for other in rules if other is not rule]
                assert found - flows(everything), f"{name_of(policy)}: {way}: {rule}"
            policy["spec"][way] = rules


def test_the_table_names_every_component_and_no_other(everything: list[Json]) -> None:
    there = {one.name for one in pods(everything)}
    assert components(_TABLE) <= there
    # a component that only looks names up speaks to nobody
    assert there - components(_TABLE) == set()


def _flows(objects: list[Json]) -> set[Flow]:
    return {Flow(_NETWORKS.get(flow.source, flow.source), flow.target, flow.ports) for flow in flows(objects)}


def _lines(found: set[Flow]) -> list[str]:
    return sorted(map(str, found))
