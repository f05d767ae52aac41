"""`python -m tests.acceptance.table` asks every consumer about every case, and writes `docs/consumers.md`.

The answers are those of the run. Where they are not what `cases` and `voms_cases` expect, it says so and ends with
status 1. Columns are left out for what is not installed.
"""

import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import click

from tests.acceptance import cases, voms_cases
from tests.acceptance.consumers import Ask, of_attributes, of_chains
from tests.acceptance.site import Site, make_site
from tests.tools.programs import run

DOCUMENT = Path(__file__).parents[2] / "docs" / "consumers.md"
CHAINS: Mapping[Enum, str] = {
    cases.OPENSSL: "openssl",
    cases.STRICT: "strict",
    cases.STRICT_CRL: "strict, CRLs",
    cases.GLOBUS: "Globus",
    cases.GSI: "xrootd GSI",
    cases.HTTPS: "XrdHttp",
    cases.LCMAPS: "LCMAPS",
    cases.ARC: "ARC",
    cases.LIBRARY: "proxy_gen",
}
ATTRIBUTES: Mapping[Enum, str] = {
    voms_cases.XROOTD_GSI: "xrootd GSI",
    voms_cases.XROOTD_HTTPS: "XrdHttp",
    voms_cases.LCMAPS: "LCMAPS",
    voms_cases.ARC: "arcproxy",
    voms_cases.LIBRARY: "proxy_gen",
    voms_cases.PRINTER: "voms-proxy-info",
}
_PACKAGES = (
    *("openssl", "libglobus-gssapi-gsi4", "myproxy-server", "xrootd-server", "libvomsapi1v5", "voms-clients"),
    *("liblcmaps0", "lcmaps-plugins-verify-proxy", "nordugrid-arc-hed"),
)
_DOCUMENT = """\
# What takes what we mint

`make consumers` writes this page: it makes every credential below, good and bad, shows it to every consumer, and puts
down the answers. The acceptance tests ask the same questions (`tests/acceptance/cases.py`, `voms_cases.py`).

`+` is accepted, `-` refused. *strict* is `openssl verify -x509_strict`, as Python's `ssl` has it from 3.13 on, and
*CRLs* is `-crl_check_all`. Globus is asked through MyProxy, LCMAPS through its `verify_proxy` plug-in, ARC through its
server's TLS, XRootD through both of its doors. *proxy_gen* is our own `verify`: it refuses what any of the others
refuses, save elliptic proxies: that XRootD cannot read them is no question of trust. The daemon's profiles have RSA
keys for its sake.

{versions}

## Chains

{chains}

A revoked holder that XRootD and ARC take, and all else that they should not, is why lifetimes are short.

## Attribute certificates

`+` here: the holder is taken for a member of `/cms`. The chain is good in all of them, but for *stolen, with chain*.

{attributes}

`voms-proxy-info`, and `grid-proxy-info` likewise, print what is there: no proof of anything. `arcproxy -I` complains of
forgeries, but asks nobody who may speak for a VO, looks at no target, and of the holder at the name alone.
"""


class Case(Protocol):
    """A case of chains or of attributes."""

    @property
    def name(self) -> str: ...

    @property
    def taken_by(self) -> Iterable[Enum]: ...

    def pem(self, site: Site) -> bytes: ...


def table(titles: Mapping[Enum, str], rows: Sequence[Case], answer: Callable[[Case, Enum], bool]) -> str:
    """Return the Markdown table: a row a case, a column a consumer."""
    lines = ["| case | " + " | ".join(titles.values()) + " |", "|---" * (len(titles) + 1) + "|"]
    lines += [
        f"| {row.name} | " + " | ".join("+" if answer(row, who) else "-" for who in titles) + " |" for row in rows
    ]
    return "\n".join(lines)


def expected(row: Case, who: Enum) -> bool:
    """What the tests expect."""
    return who in row.taken_by


def _measured(
    titles: Mapping[Enum, str], rows: Sequence[Case], asks: Mapping[Enum, Ask], site: Site
) -> tuple[str, list[str]]:
    """Ask everybody; return the table, and what was not expected."""
    there = {who: title for who, title in titles.items() if who in asks}
    found: dict[tuple[str, Enum], bool] = {}
    with click.progressbar(rows, label=f"{len(there)} consumers", file=sys.stderr) as shown:
        for row in shown:
            found |= {(row.name, who): asks[who](row.pem(site)) for who in there}
    surprises = [
        f"{titles[who]} {'takes' if found[row.name, who] else 'refuses'} '{row.name}'"
        for row in rows
        for who in there
        if found[row.name, who] is not expected(row, who)
    ]
    return table(there, rows, lambda row, who: found[row.name, who]), surprises


def _versions() -> str:
    listed = run(["dpkg-query", "--show", "--showformat", "${Package} ${Version}, ", *_PACKAGES])
    return textwrap.fill(f"Measured with {listed.text.strip(', ')}.", 120, break_on_hyphens=False)


def main() -> int:
    """Run, write, and tell what was not expected."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        site = make_site(directory)
        with of_chains(site, directory) as asks:
            chains, strange = _measured(CHAINS, cases.CASES, asks, site)
        with of_attributes(site, directory) as others:
            attributes, stranger = _measured(ATTRIBUTES, voms_cases.CASES, others, site)
    DOCUMENT.write_text(_DOCUMENT.format(versions=_versions(), chains=chains, attributes=attributes))
    for surprise in (*strange, *stranger):
        click.echo(f"not expected: {surprise}", err=True)
    return 1 if strange or stranger else 0


if __name__ == "__main__":
    sys.exit(main())
