"""Kubernetes objects as the checks walk them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True)
class Pods:
    """A pod template with its owner; ``name`` is chart/component, as the flow table has it."""

    owner: Json
    labels: Json
    annotations: Json
    spec: Json

    @property
    def name(self) -> str:
        return f"{self.labels.get(NAME)}/{self.labels.get(COMPONENT)}"

    @property
    def at(self) -> str:
        """What a complaint begins with."""
        return name_of(self.owner)

    def containers(self) -> list[Json]:
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]

    def running(self) -> list[Json]:
        """Return those that stay: all but the init containers that end before the others start."""
        native = [one for one in self.spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
        return [*native, *self.spec.get("containers", [])]

    def ports(self) -> list[Json]:
        return [port for container in self.running() for port in container.get("ports", [])]

    def number(self, port: str | int) -> int | None:
        """Return the number of a port by name or number, if a container listens on it."""
        for one in self.ports():
            if port in (one.get("name"), one["containerPort"]):
                return int(one["containerPort"])
        return None


def name_of(item: Json) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def of_kind(objects: Sequence[Json], *kinds: str) -> list[Json]:
    return [item for item in objects if item["kind"] in kinds]


def pods(objects: Sequence[Json]) -> list[Pods]:
    """Return the template of everything that makes pods."""
    return [_pods(item, template) for item in objects for template in _templates(item)]


def selected(selector: Json, among: Sequence[Pods]) -> list[Pods]:
    """Return the templates whose labels a LabelSelector matches."""
    assert not set(selector) - {"matchLabels"}, f"only matchLabels are understood here: {selector}"
    wanted = selector.get("matchLabels", {}).items()
    return [one for one in among if wanted <= one.labels.items()]


def strings(value: object) -> Iterator[str]:
    """Yield every text inside, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def _templates(item: Json) -> list[Json]:
    spec = item.get("spec", {})
    match item["kind"]:
        case "Pod":
            return [item]
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
            return [spec["template"]]
        case "CronJob":
            return [spec["jobTemplate"]["spec"]["template"]]
        case "ScaledJob":
            return [spec["jobTargetRef"]["template"]]
    return []


def _pods(owner: Json, template: Json) -> Pods:
    metadata = template.get("metadata", {})
    return Pods(owner, metadata.get("labels") or {}, metadata.get("annotations") or {}, template["spec"])
