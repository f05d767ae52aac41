"""Small C++ programs around HTCondor's own functions, in the library that the PyPI wheel `htcondor` carries."""

import subprocess
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from tests.tools.programs import PATIENCE, environment, need, unavailable

_SOURCES = Path(__file__).parent


def build(source: str, directory: Path) -> Path:
    """Compile a source file of this directory against the wheel's library, and return the program."""
    need("g++")
    library = _library()
    program = directory / Path(source).stem
    done = subprocess.run(
        [
            *("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", program, _SOURCES / source, library),
            # what the library itself needs lies beside it: found by an RPATH, but not by a RUNPATH
            *(f"-Wl,-rpath,{library.parent}", "-Wl,--disable-new-dtags", "-Wl,--allow-shlib-undefined"),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


def _library() -> Path:
    try:
        found = [file for file in files("htcondor") or () if file.name.startswith("libcondor_utils")]
    except PackageNotFoundError:
        found = []
    if not found:
        unavailable("not installed: the PyPI package htcondor")
    return Path(str(found[0].locate())).resolve()
