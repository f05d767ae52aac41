#!/usr/bin/env python3
"""package.py DEST: every chart as DEST/NAME-VERSION.tgz with what it depends on inside, and the index of a repository.

Works on a copy, so that nothing is left between the charts. The same charts make the same bytes: where helm writes the
time of day, here it is SOURCE_DATE_EPOCH (the start of 1970 without it).
"""

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path

import yaml

_CHARTS = Path(__file__).parents[2] / "charts"
_EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def main() -> int:
    """Return the exit status: 1 when helm refuses a chart; the others are packaged all the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--helm", default="helm", help="which helm (default: that of PATH)")
    arguments = parser.parse_args()
    arguments.dest.mkdir(parents=True, exist_ok=True)
    for stale in arguments.dest.glob("*.tgz"):
        stale.unlink()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, "charts")
        shutil.copytree(_CHARTS, copy)
        refused = [chart for chart in _in_order(copy) if not _package(arguments.helm, copy / chart, arguments.dest)]
    if refused:
        sys.stderr.write(f"not packaged: {', '.join(refused)}\n")
        return 1
    return 0 if _index(arguments.helm, arguments.dest) else 1


def _in_order(charts: Path) -> Sequence[str]:
    """Return the charts' names, each after those that it depends on."""
    needs = {}
    for file in charts.glob("*/Chart.yaml"):
        dependencies = yaml.safe_load(file.read_text()).get("dependencies", [])
        needs[file.parent.name] = {dependency["repository"].removeprefix("file://../") for dependency in dependencies}
    return list(TopologicalSorter(needs).static_order())


def _package(helm: str, chart: Path, dest: Path) -> bool:
    with tempfile.TemporaryDirectory() as place:
        if not _run(helm, "dependency", "update", "--skip-refresh", str(chart)):
            return False
        # it has the time of day, and says nothing that the dependencies inside do not
        (chart / "Chart.lock").unlink(missing_ok=True)
        if not _run(helm, "package", "--destination", place, str(chart)):
            return False
        (archive,) = Path(place).iterdir()
        (dest / archive.name).write_bytes(_timeless(archive.read_bytes()))
        return True


def _timeless(archive: bytes) -> bytes:
    """Return the same archive in an order of its own, without the times of its making."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in sorted(source, key=lambda member: member.name):
            plain = tarfile.TarInfo(member.name)
            plain.size, plain.mode, plain.mtime = member.size, 0o644, _EPOCH
            target.addfile(plain, source.extractfile(member))
    return gzip.compress(packed.getvalue(), mtime=_EPOCH)


def _index(helm: str, dest: Path) -> bool:
    if not _run(helm, "repo", "index", str(dest)):
        return False
    file = dest / "index.yaml"
    index = yaml.safe_load(file.read_text())
    index["generated"] = datetime.fromtimestamp(_EPOCH, UTC).isoformat()
    for versions in index["entries"].values():
        for version in versions:
            version["created"] = index["generated"]
    file.write_text(yaml.safe_dump(index))
    return True


def _run(*command: str) -> bool:
    """Run helm, which says on standard error why it refuses; what it says when it does not is of no interest."""
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main())
