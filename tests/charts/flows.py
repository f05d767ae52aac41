"""Who may speak to whom, from the NetworkPolicies of a release and from the table of docs/flows.md.

A flow between pods is let through when the policies of both ends let it through. Ends that are no pods have names:
`anywhere`, `monitoring`, `DNS`. What the policies say otherwise appears as they say it, and so differs from the table.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from tests.charts.objects import Json, Pods, of_kind, pods, selected

# ends of the table that are many pods; the second, those with one of these containers
_EVERY_BUT = "every pod but "
_MANY = {
    "every pod with credentials": {"credentials", "first-credentials"},
    "every pod with a sidecar": {"credentials"},
}
EVERYTHING = "everything"

_ANYWHERE = (
    {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]},
    {"cidr": "::/0", "except": ["fd00:ec2::254/128"]},
)
_NODE_DNS = {"cidr": "169.254.20.10/32"}
_SPACE = "kubernetes.io/metadata.name"
_COMPONENT = re.compile(r"[a-z-]+/[a-z-]+")
_HEADER = "| from | to | port |"


class Ports(NamedTuple):
    """A range of ports of one protocol."""

    first: int
    last: int
    protocol: str = "TCP"

    @classmethod
    def parse(cls, text: str) -> "Ports":
        """Read `443`, `9618-9720`, `any`; `53/UDP` is of another protocol than TCP."""
        number, _, protocol = text.partition("/")
        first, _, last = ("1-65535" if number == "any" else number).partition("-")
        return cls(int(first), int(last or first), protocol or "TCP")

    def __str__(self) -> str:
        first, last, protocol = self
        number = "any" if (first, last) == (1, 65535) else f"{first}-{last}" if first != last else f"{first}"
        return number if protocol == "TCP" else f"{number}/{protocol}"

    def common(self, other: "Ports") -> "Ports | None":
        """Return what is in both."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Ports(first, last, self.protocol) if first <= last and self.protocol == other.protocol else None

    def touches(self, other: "Ports") -> bool:
        """Return whether the other, which begins no sooner, begins before this has ended or right behind."""
        return self.protocol == other.protocol and other.first <= self.last + 1


class Flow(NamedTuple):
    """Somebody may open connections to somebody."""

    source: str
    target: str
    ports: Ports

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}: {self.ports}"


class Row(NamedTuple):
    """A row of the table, as it stands there; ``when`` is empty where the flow is always let through."""

    sources: list[str]
    targets: list[str]
    ports: list[Ports]
    when: str


def table(file: Path) -> list[Row]:
    """Read the first table of a file that has the columns from, to, port, what for, when."""
    lines = file.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(_HEADER)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        sources, targets, numbers, _, when = (
            [part.strip() for part in cell.split(",")] for cell in line.split("|")[1:-1]
        )
        rows.append(Row(sources, targets, [Ports.parse(number) for number in numbers], ", ".join(when)))
    return rows


def expected(rows: Sequence[Row], objects: Sequence[Json]) -> set[Flow]:
    """Return the flows of these rows between what there is in a release, and those whose other end is no pod."""
    there = pods(objects)
    absent = components(rows) - {one.name for one in there}
    return _joined(
        Flow(source, target, ports)
        for row in rows
        for source, target, ports in product(_spread(row.sources, there), _spread(row.targets, there), row.ports)
        if not {source, target} & absent
    )


def _spread(ends: Sequence[str], there: Sequence[Pods]) -> Iterator[str]:
    """Yield ends one by one: some of the table are many pods."""
    for end in ends:
        if end.startswith(_EVERY_BUT):
            yield from (one.name for one in there if one.name != end.removeprefix(_EVERY_BUT))
        elif end in _MANY:
            yield from (one.name for one in there if _MANY[end] & {c["name"] for c in one.containers()})
        else:
            yield end


def components(rows: Sequence[Row]) -> set[str]:
    """Return the pods that a table names."""
    return {name for row in rows for end in (*row.sources, *row.targets) for name in _COMPONENT.findall(end)}


def flows(objects: Sequence[Json]) -> set[Flow]:
    """Return what the policies of a release let through."""
    outgoing, incoming = _allowed("egress", objects), _allowed("ingress", objects)
    found = {Flow(name, peer, ports) for name in outgoing for peer, ports in outgoing[name] if peer not in incoming}
    found |= {Flow(peer, name, ports) for name in incoming for peer, ports in incoming[name] if peer not in outgoing}
    for source, target in product(outgoing, incoming):
        sent = [ports for peer, ports in outgoing[source] if peer in {target, EVERYTHING}]
        taken = [ports for peer, ports in incoming[target] if peer in {source, EVERYTHING}]
        both = (one.common(other) for one, other in product(sent, taken))
        found |= {Flow(source, target, ports) for ports in both if ports}
    return _joined(found)


def half_open(objects: Sequence[Json]) -> set[Flow]:
    """Return the flows between pods that one end lets through and the other does not: one of them is wrong."""
    outgoing, incoming = _allowed("egress", objects), _allowed("ingress", objects)
    said = {Flow(name, peer, ports) for name in outgoing for peer, ports in outgoing[name] if peer in incoming}
    said |= {Flow(peer, name, ports) for name in incoming for peer, ports in incoming[name] if peer in outgoing}
    let = flows(objects)
    return {flow for flow in said if not any(flow[:2] == other[:2] and flow.ports.common(other.ports) for other in let)}


def _joined(found: Iterable[Flow]) -> set[Flow]:
    """Return flows with one range of ports for what is a range: the oldest clusters know single ports only."""
    joined: list[Flow] = []
    for flow in sorted(found, key=lambda flow: (*flow[:2], flow.ports.protocol, flow.ports)):
        before = joined[-1] if joined else None
        if before and before[:2] == flow[:2] and before.ports.touches(flow.ports):
            last = max(before.ports.last, flow.ports.last)
            joined[-1] = before._replace(ports=before.ports._replace(last=last))
        else:
            joined.append(flow)
    return set(joined)


def _allowed(way: str, objects: Sequence[Json]) -> dict[str, set[tuple[str, Ports]]]:
    """Return with whom, and on which ports, each pod may speak as far as its own policies go."""
    there = pods(objects)
    policies = [item["spec"] for item in of_kind(objects, "NetworkPolicy")]
    mine = {one.name: [spec for spec in policies if selected(spec["podSelector"], [one])] for one in there}
    return {one.name: set(_peers(way, one, mine[one.name], there)) for one in there}


def _peers(way: str, one: Pods, policies: Sequence[Json], there: Sequence[Pods]) -> Iterator[tuple[str, Ports]]:
    if not any(way.title() in spec["policyTypes"] for spec in policies):
        yield EVERYTHING, Ports.parse("any")
    for rule in (rule for spec in policies for rule in spec.get(way, [])):
        # an empty list is no restriction, as if it were not there
        for peer in rule.get("to" if way == "egress" else "from") or [{}]:
            for name, target in _ends(peer, there):
                yield from ((name, ports) for ports in _ports(rule, one if way == "ingress" else target))


def _ends(peer: Json, among: Sequence[Pods]) -> list[tuple[str, Pods | None]]:
    """Return whom a peer of a policy means; pods of a chart that is not in this release are nobody."""
    block, space = peer.get("ipBlock"), peer.get("namespaceSelector", {}).get("matchLabels", {})
    if set(peer) == {"podSelector"}:
        return [(one.name, one) for one in selected(peer["podSelector"], among)]
    if block in _ANYWHERE:
        return [("anywhere", None)]
    if block == _NODE_DNS or peer == _namespace("kube-system"):
        return [("DNS", None)]
    if set(peer) == {"namespaceSelector"} and set(space) == {_SPACE}:
        return [(space[_SPACE], None)]
    if peer == {"ipBlock": {"cidr": (block or {}).get("cidr")}}:
        return [(peer["ipBlock"]["cidr"], None)]
    return [(json.dumps(peer, sort_keys=True) if peer else EVERYTHING, None)]


def _namespace(name: str) -> Json:
    return {"namespaceSelector": {"matchLabels": {_SPACE: name}}}


def _ports(rule: Json, target: Pods | None) -> Iterator[Ports]:
    for port in rule.get("ports") or [{}]:
        number = port.get("port", "any")
        if isinstance(number, str) and number != "any" and target is not None:
            number = target.number(number)
        last = f"-{port['endPort']}" if "endPort" in port else ""
        # where nothing listens on a name, nothing is let through
        if number is not None:
            yield Ports.parse(f"{number}{last}/{port.get('protocol', 'TCP')}")
