"""Programs that print credentials: `voms-proxy-info` (the C++ one), `grid-proxy-info`, `arcproxy -I`.

What they print is no proof of trust: the first two print forgeries as they print anything else. `arcproxy` verifies
attribute certificates, and complains of what it prints.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tools.programs import Verdict, environment, need, run

_VO_BEGINS = re.compile(r"=+ (?:VO (\S+) extension information|AC extension information for VO (\S+)) =+")
_LINE = re.compile(r"([A-Za-z][A-Za-z ]*?) *: (.*)")

# the lines `name : value`, in their order; a name may be there again
Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Printed:
    """What a program told: of the proxy, and of each VO's attribute certificate."""

    verdict: Verdict
    proxy: Fields
    vos: tuple[tuple[str, Fields], ...]

    def of_proxy(self, name: str) -> str:
        """Return the one value with this name."""
        (value,) = _values(self.proxy, name)
        return value

    def of_vo(self, vo: str, name: str) -> list[str]:
        """Return all values with this name that stand under a VO."""
        (fields,) = (fields for each, fields in self.vos if each == vo)
        return _values(fields, name)

    def names_group(self, group: str) -> bool:
        """Tell whether a group, in either form of an FQAN, is among the attributes of any VO."""
        forms = {group, f"{group}/Role=NULL/Capability=NULL"}
        return any(forms & set(_values(fields, "attribute")) for _, fields in self.vos)


class Printers:
    """The programs, with a trust directory and a VOMS directory."""

    def __init__(self, directory: Path, trust_dir: Path, voms_dir: Path) -> None:
        # arcproxy makes itself a directory at home
        self._env = environment(X509_CERT_DIR=trust_dir, X509_VOMS_DIR=voms_dir) | {"HOME": str(directory)}

    def voms_proxy_info(self, file: Path) -> Printed:
        return _parsed(self.voms(file, "-all"))

    def voms(self, file: Path, *options: str) -> Verdict:
        """Run `voms-proxy-info` with options of one's own."""
        return self._run(["voms-proxy-info", *options, "-file", file])

    def grid_proxy_info(self, file: Path) -> Printed:
        return _parsed(self.grid(file))

    def grid(self, file: Path, *options: str) -> Verdict:
        """Run `grid-proxy-info` with options of one's own."""
        return self._run(["grid-proxy-info", "-file", file, *options])

    def arcproxy(self, file: Path) -> Printed:
        """Run `arcproxy -I`; the verdict is a yes when it complains of no attribute certificate."""
        need("arcproxy")
        done = run(["arcproxy", "-I"], env=self._env | {"X509_USER_PROXY": str(file)})
        complains = "ERROR: VOMS" in done.text or "AC is invalid" in done.text
        return _parsed(Verdict(done.ok and not complains, done.text))

    def _run(self, argv: Sequence[str | Path]) -> Verdict:
        need(str(argv[0]))
        return run(argv, env=self._env)


def _parsed(verdict: Verdict) -> Printed:
    proxy: list[tuple[str, str]] = []
    vos: list[tuple[str, list[tuple[str, str]]]] = []
    fields = proxy
    for line in verdict.text.splitlines():
        if begins := _VO_BEGINS.fullmatch(line.strip()):
            fields = []
            vos.append((begins[1] or begins[2], fields))
        elif found := _LINE.fullmatch(line):
            fields.append((found[1], found[2]))
    return Printed(verdict, tuple(proxy), tuple((vo, tuple(of_vo)) for vo, of_vo in vos))


def _values(fields: Fields, name: str) -> list[str]:
    return [value for each, value in fields if each == name]
