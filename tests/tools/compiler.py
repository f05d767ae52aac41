"""Small C programs and libraries that bring the tests to what has no program of its own."""

from pathlib import Path

from tests.tools.programs import need, run


def compiled(source: Path, output: Path, *options: str | Path) -> Path:
    """Compile a C source file; the libraries come last."""
    need("gcc")
    verdict = run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", output, source, *options])
    assert verdict, verdict
    return output
