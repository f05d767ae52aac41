"""Ports: what asks one finds somebody who listens."""

import re
from collections.abc import Iterator

from tests.charts.checks.release import Check, Release, twice
from tests.charts.objects import Json, name_of, selected, strings

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# a Service, alone or with the domain of its namespace; with a port, or in a URL
_HOST = r"([a-z][a-z0-9-]*)(?:\.[a-z0-9-]+\.svc(?:\.[a-z0-9.-]+)?)?"
_ADDRESS = re.compile(rf"(?<![\w.-]){_HOST}:(\d{{2,5}})\b")
_URL = re.compile(rf"(https?)://{_HOST}(?![\w.:-])")


def _services_reach(release: Release) -> Iterator[str]:
    for service in release.kind("Service"):
        for one in selected({"matchLabels": service["spec"].get("selector", {})}, release.pods):
            for port in service["spec"].get("ports", []):
                target = port.get("targetPort", port["port"])
                if one.number(target) is None:
                    yield f"{name_of(service)}: nothing in {one.at} listens on {target}"


def _monitors_reach(release: Release) -> Iterator[str]:
    for monitor in release.kind("PodMonitor"):
        for one in selected(monitor["spec"]["selector"], release.pods):
            names = {port.get("name") for port in one.ports()}
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                if endpoint["port"] not in names:
                    yield f"{name_of(monitor)}: {one.at} has no port {endpoint['port']}"
    for monitor in release.kind("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        services = [item for item in release.kind("Service") if wanted <= item["metadata"]["labels"].items()]
        names = {port["name"] for service in services for port in service["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in names:
                yield f"{name_of(monitor)}: no Service that it selects has a port {endpoint['port']}"


def _probes_reach(release: Release) -> Iterator[str]:
    for one in release.pods:
        for container in one.containers():
            known = {port.get(key) for port in container.get("ports", []) for key in ("name", "containerPort")}
            for what, port in _asked(container):
                if port not in known:
                    yield f"{one.at}: {container['name']} has no port {port}, which its {what} asks"


def _asked(container: Json) -> Iterator[tuple[str, str | int]]:
    actions = {key: container[key] for key in _PROBES if key in container} | container.get("lifecycle", {})
    for what, action in actions.items():
        for kind in ("httpGet", "tcpSocket", "grpc"):
            if kind in action:
                yield what, action[kind]["port"]


def _are_said_once(release: Release) -> Iterator[str]:
    for one in release.pods:
        for key in ("name", "containerPort"):
            yield from (f"{one.at}: two ports with {key} {port}" for port in twice(p.get(key) for p in one.ports()))
    for service in release.kind("Service"):
        for key in ("name", "port"):
            again = twice(port.get(key) for port in service["spec"].get("ports", []))
            yield from (f"{name_of(service)}: two ports with {key} {port}" for port in again)


def _are_said_in_full(release: Release) -> Iterator[str]:
    """Server-side apply knows a port by number and protocol, and takes one without for another."""
    said = [(one.at, port) for one in release.pods for port in one.ports()]
    said += [(name_of(item), port) for item in release.kind("Service") for port in item["spec"].get("ports", [])]
    for what, port in said:
        yield from (f"{what}: port {port} has no {key}" for key in ("name", "protocol") if key not in port)
        if len(port.get("name", "")) > 15:
            yield f"{what}: port {port['name']} has more than the 15 characters of RFC 6335"
    for policy in release.kind("NetworkPolicy"):
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
            lacks = [port for port in rule.get("ports", []) if "protocol" not in port]
            yield from (f"{name_of(policy)}: port {port} has no protocol" for port in lacks)


def _addresses_are_served(release: Release) -> Iterator[str]:
    """Where a text names a Service of the release with a port, it has that port."""
    served = set(services(release))
    names = {name for name, _ in served}
    for what, host, port in addresses(release):
        if host in names and (host, port) not in served:
            yield f"{what}: Service {host} has no port {port}"


def services(release: Release) -> Iterator[tuple[str, int]]:
    """Yield name and port of each Service."""
    for item in release.kind("Service"):
        yield from ((item["metadata"]["name"], port["port"]) for port in item["spec"]["ports"])


def addresses(release: Release) -> Iterator[tuple[str, str, int]]:
    """Yield where, host and port of what looks like the address of a Service in configuration and command lines."""
    for what, text in _texts(release):
        yield from ((what, found[1], int(found[2])) for found in _ADDRESS.finditer(text))
        yield from ((what, found[2], 443 if found[1] == "https" else 80) for found in _URL.finditer(text))


def _texts(release: Release) -> Iterator[tuple[str, str]]:
    for item in release.kind("ConfigMap"):
        yield from ((name_of(item), text) for text in strings(item.get("data")))
    for one in release.pods:
        for container in one.containers():
            said = [container.get(key) for key in ("command", "args", "env")]
            yield from ((one.at, text) for text in strings(said))


CHECKS: tuple[Check, ...] = (
    _services_reach,
    _monitors_reach,
    _probes_reach,
    _are_said_once,
    _are_said_in_full,
    _addresses_are_served,
)
