"""Another user of the machine, who is up to no good."""

import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.tools.programs import PATIENCE, Verdict, environment, run

STRANGER = 4242
# what he writes, and everybody may know
PLANTED = "planted"
# modules are loaded first, for he may not be able to read the checkout
_BECOMING = (
    "import ctypes, os, random, select, sys\nfrom pathlib import Path\n"
    "from ttscache.durable import Owner\nfrom ttscache.sidecar.place import Place, open_directory, trusted_users\n"
    f"os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER}); os.umask(0)\n"
)
_AT_WORK = f"""
directory, victim = sys.argv[1:]
os.chdir(directory)

def steal(name):
    os.rename(name, "stolen")

def replace(name):
    with open("mine", "w") as file:
        file.write("{PLANTED}")
    os.rename("mine", name)

def link(name):
    os.symlink(victim, "link")
    os.rename("link", name)

def look(name):
    with open(name, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        print(file.read(100), flush=True)

def turn_into_a_link(name):
    os.rename(name, "kept")
    os.symlink(victim, name)
    os.unlink(name)
    os.rename("kept", name)

def turn_into_mine(name):
    os.rename(name, "kept")
    os.mkdir(name)
    os.rmdir(name)
    os.rename("kept", name)

print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    for name in os.listdir("."):
        for trick in random.sample(TRICKS, len(TRICKS)):
            try:
                trick(name)
            except OSError:
                pass
"""
FILES = "[steal, replace, link, look, os.unlink]"
DIRECTORIES = "[turn_into_a_link, turn_into_mine]"


class Intruder:
    """He does what he can in a directory for as long as he is entered: ``tricks`` with each name that he sees there."""

    def __init__(self, directory: Path, victim: Path, tricks: str) -> None:
        source = f"{_BECOMING}{_AT_WORK.replace('TRICKS', tricks)}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", source, directory, victim],
            env=environment(),
            stdin=subprocess.PIPE,  # its end is his, also when we are killed
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seen: set[str] = set()

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            told, _none = self._process.communicate(timeout=PATIENCE)
        finally:
            self._process.kill()
        self.seen = set(told.splitlines())


def as_stranger(program: str, *arguments: Path) -> Verdict:
    """Run a snippet as him, in which `Place`, `open_directory` and `Owner` are known."""
    return run([sys.executable, "-c", _BECOMING + program, *arguments])
