"""What a schema cannot see: whether the objects of a release find each other, and whether their pods are shut in.

``problems`` takes everything that a release renders; a check is a function that yields a line for each fault.
"""

from collections.abc import Collection, Sequence

from tests.charts.checks import names, policies, ports, scaling, secrets, security, selectors, volumes
from tests.charts.checks.release import Check, Release
from tests.charts.objects import Json

CHECKS: tuple[Check, ...] = (
    *names.CHECKS,
    *selectors.CHECKS,
    *ports.CHECKS,
    *policies.CHECKS,
    *volumes.CHECKS,
    *scaling.CHECKS,
    *secrets.CHECKS,
    *security.CHECKS,
)


def problems(objects: Sequence[Json], outside: Collection[str] = ()) -> list[str]:
    """Return what is wrong; ``outside`` are the names of what exists without this release, such as its Secrets."""
    release = Release.of(objects, outside)
    return sorted({line for check in CHECKS for line in check(release)})
