"""The command line: runs all benchmarks, or those that are named."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Sequence

import uvloop

from benchmarks import attributes, cold, csr, herd, issue, makers, memory, mint, redis, sidecar, tls, verify, warm
from benchmarks.figures import Figure, table
from benchmarks.programs import ProgramError, require

_BENCHMARKS: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "mint": mint.run,
    "attributes": attributes.run,
    "warm": warm.run,
    "verify": verify.run,
    "herd": herd.run,
    "makers": makers.run,
    "issue": issue.run,
    "csr": csr.run,
    "cold": cold.run,
    "tls": tls.run,
    "redis": redis.run,
    "sidecar": sidecar.run,
    "memory": memory.run,
}
# a quarter of an hour: by its name only
_LONG = frozenset({"memory"})
_PROGRAMS = {
    "makers": makers.PROGRAMS,
    "issue": issue.PROGRAMS,
    "redis": redis.PROGRAMS,
    "sidecar": sidecar.PROGRAMS,
}


def main() -> int:
    """Run what was asked for; the exit status is 1 when a goal is missed, 2 when a program is missing or fails."""
    description = "Ratios against bare baselines and other makers."
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=description)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which of: {', '.join(_BENCHMARKS)} (default, all but {', '.join(_LONG)})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}")
    names = arguments.names or [name for name in _BENCHMARKS if name not in _LONG]
    try:
        require([program for name in names for program in _PROGRAMS.get(name, ())])
        # the event loop that the daemon runs on
        figures = uvloop.run(_run(names))
    except ProgramError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    print(json.dumps([figure.as_json() for figure in figures], indent=2) if arguments.json else table(figures))
    return 1 if any(figure.is_met is False for figure in figures) else 0


async def _run(names: Sequence[str]) -> list[Figure]:
    return [figure for name in names for figure in await _BENCHMARKS[name]()]


if __name__ == "__main__":
    sys.exit(main())
