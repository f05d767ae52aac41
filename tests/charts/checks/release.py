"""What the checks look at."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias, TypeVar

from tests.charts.objects import Json, Pods, of_kind, pods

T = TypeVar("T")
_MAKES = "ttscache/makes-secrets"


@dataclass(frozen=True, slots=True)
class Release:
    """All objects of a release, its pod templates, and the names of what is there without it."""

    objects: Sequence[Json]
    pods: Sequence[Pods]
    outside: Collection[str]

    @classmethod
    def of(cls, objects: Sequence[Json], outside: Collection[str]) -> Self:
        return cls(objects, pods(objects), outside)

    def kind(self, *kinds: str) -> list[Json]:
        return of_kind(self.objects, *kinds)

    def find(self, kind: str, name: str) -> Json | None:
        return next((item for item in self.kind(kind) if item["metadata"]["name"] == name), None)

    def has(self, kind: str, name: str) -> bool:
        made = kind == "Secret" and name in self.made_secrets()
        return made or name in self.outside or self.find(kind, name) is not None

    def made_secrets(self) -> set[str]:
        """Return the Secrets that are there after an installation: cert-manager's, and those of Jobs that say so."""
        jobs = [item["metadata"].get("annotations", {}).get(_MAKES, "") for item in self.kind("Job")]
        return {*jobs, *(item["spec"]["secretName"] for item in self.kind("Certificate"))}


Check: TypeAlias = Callable[[Release], Iterator[str]]


def twice(values: Iterable[T]) -> list[T]:
    """Return what is there more than once."""
    return [value for value, count in Counter(values).items() if count > 1 and value is not None]
