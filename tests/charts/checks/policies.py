"""NetworkPolicies: each pod has one both ways, and what it lets through ends where somebody listens.

Which flows these are together is compared with docs/flows.md by flows.py.
"""

from collections.abc import Iterator

from tests.charts.checks.release import Check, Release
from tests.charts.objects import Json, Pods, name_of, selected


def _are_there(release: Release) -> Iterator[str]:
    """A pod that no policy selects may ask, and be asked by, everybody. A value can want that of all of them."""
    policies = release.kind("NetworkPolicy")
    for one in release.pods if policies else ():
        mine = [policy["spec"] for policy in policies if selected(policy["spec"]["podSelector"], [one])]
        types = {kind for spec in mine for kind in spec.get("policyTypes", [])}
        yield from (f"{one.at}: no policy for {kind}" for kind in sorted({"Ingress", "Egress"} - types))


def _end_where_somebody_listens(release: Release) -> Iterator[str]:
    for policy in release.kind("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            for one in selected(policy["spec"]["podSelector"], release.pods):
                yield from _unheard(name_of(policy), rule, one)
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    for one in selected(peer["podSelector"], release.pods):
                        yield from _unheard(name_of(policy), rule, one)


def _unheard(what: str, rule: Json, one: Pods) -> Iterator[str]:
    for port in rule.get("ports", []):
        if "port" in port and "endPort" not in port and one.number(port["port"]) is None:
            yield f"{what}: lets through to port {port['port']}, and nothing in {one.at} listens there"


CHECKS: tuple[Check, ...] = (_are_there, _end_where_somebody_listens)
