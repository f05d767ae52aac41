"""A program that is struck at one system call of its choice: killed there, or told of an error."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
# the program says that it is ready, and waits to be let go once strace counts
_PROLOGUE = "import os, sys, time\nfrom pathlib import Path\n"
_GATE = "\nos.write(1, b'.')\nos.read(0, 1)\n"
_EPILOGUE = "\nos._exit(0)\n"


class Program:
    """Two Python snippets: ``prepare`` runs unobserved, ``act`` under strace."""

    def __init__(self, prepare: str, act: str) -> None:
        self._source = _PROLOGUE + prepare + _GATE + act + _EPILOGUE

    def calls(self, names: Iterable[str], *arguments: str | Path) -> list[tuple[str, int]]:
        """Let it run, and return which of these system calls it makes: each with its how-manieth it is."""
        with tempfile.NamedTemporaryFile() as log:
            _, code = self._run(["-o", log.name, "-e", f"trace={','.join(names)}"], arguments)
            assert code == 0, code
            lines = Path(log.name).read_text().splitlines()
        seen: Counter[str] = Counter()
        found = []
        for line in lines:
            name = line.split(maxsplit=1)[1].split("(")[0]
            if name in names:
                seen[name] += 1
                found.append((name, seen[name]))
        return found

    def run(self, *arguments: str | Path) -> tuple[str, int]:
        """Let it run undisturbed: what it said, and how it ended."""
        return self._run(["-o", os.devnull], arguments)

    def struck(self, call: tuple[str, int], what: str, *arguments: str | Path) -> tuple[str, int]:
        """Run it and strike at one call (`signal=KILL`, `error=ENOSPC`): what it said, and how it ended."""
        name, number = call
        return self._run(["-o", os.devnull, "-e", f"inject={name}:{what}:when={number}"], arguments)

    def _run(self, options: list[str], arguments: Iterable[str | Path]) -> tuple[str, int]:
        argv = [sys.executable, "-c", self._source, *map(str, arguments)]
        with subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as program:
            try:
                assert program.stdout is not None
                assert program.stdin is not None
                first = program.stdout.read(1)
                assert first == b".", first + program.stdout.read()
                with subprocess.Popen(
                    ["strace", "-f", "-p", str(program.pid), *options], stderr=subprocess.PIPE, text=True
                ) as strace:
                    assert strace.stderr is not None
                    _await_attached(strace.stderr)
                    said, _ = program.communicate(b"\n")
                return said.decode(), program.returncode
            finally:
                program.kill()


def _await_attached(lines: Iterable[str]) -> None:
    for line in lines:
        if " attached" in line:
            return
        raise AssertionError(f"strace cannot be used here: {line}")
