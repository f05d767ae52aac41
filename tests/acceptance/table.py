"""`python -m tests.acceptance.table` asks every consumer about every case, and writes `docs/consumers.md`.

The answers are those of the run. Where they are not what `cases` and `voms_cases` expect, it says so and ends with
status 1. Without a consumer that is not installed there is no page: it says what is missing, and ends with status 2.
"""

import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import click

from tests.acceptance import cases, voms_cases
from tests.acceptance.answers import Answer
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

`+` is accepted, `-` refused by the consumer itself, and `c` never shown to it: the consumer's own client refused. A
`-` of a server is what its log or its TLS alert says, of a chain that it did see. Where a client keeps a chain to
itself, `openssl s_client` shows it (XrdHttp and ARC are asked by it alone); only the GSI of XRootD has no client but
its own. What that one refuses, by `c`: a second copy of a certificate, elliptic proxies, CA true, and expired proxies,
which with the client's clock set back the server refuses as well. The mode of a file is the client's matter: Globus'
reads none that others may read.

*strict* is `openssl verify -x509_strict`, as Python's `ssl` has it from 3.13 on, and
*CRLs* is `-crl_check_all`. Globus is asked through MyProxy, LCMAPS through its `verify_proxy` plug-in, ARC through its
server's TLS, XRootD through both of its doors. *proxy_gen* is our own `verify`: it refuses what any of the others
refuses, save elliptic proxies: that XRootD cannot read them is no question of trust. The daemon's profiles have RSA
keys for its sake.

{versions}

## Chains

{chains}

A name that the map does not have is no row here: XRootD and LCMAPS refuse it, and so does a MyProxy server whose lists
name others. ARC, asked without any authorisation, cannot; it takes every name of a trusted CA.

A revoked holder that XRootD and ARC take, and all else that they should not, is why lifetimes are short.

## Attribute certificates

`+` here: the holder is taken for a member of `/cms`. The chain is good in all of them, but for *stolen, with chain*.

{attributes}

`voms-proxy-info`, and `grid-proxy-info` likewise, print what is there: no proof of anything. `arcproxy -I` complains of
forgeries, but asks nobody who may speak for a VO, looks at no target, not at the signer's time, and of the holder at
the name alone.

XRootD's GSI client shows the proxy in its memory until its last second; a login across that second is refused, and not
tried again. Once in a proxy's life that is a matter of milliseconds.

## A credential monitor

`af-credmon` 0.1.2 redeems at a running daemon (`tests/acceptance/test_credmon.py`). The file that it writes is read by
OpenSSL, `grid-proxy-info` and `voms-proxy-info`, with its attributes. It keeps the file while the daemon is stopped,
and at 401, 403 and 503; it removes it at 404, and makes it anew when the identity is restored.
[legacy.md](legacy.md#af-credmon) says what else removes it.
"""


class MissingError(Exception):
    """A consumer is not installed."""


class Case(Protocol):
    """A case of chains or of attributes."""

    @property
    def name(self) -> str: ...

    def answer(self, consumer: Any) -> Answer: ...  # noqa: ANN401 -- each kind of case has its own consumers

    def write(self, site: Site, directory: Path) -> Path: ...


def table(titles: Mapping[Enum, str], rows: Sequence[Case], answer: Callable[[Case, Enum], Answer]) -> str:
    """Return the Markdown table: a row a case, a column a consumer."""
    lines = ["| case | " + " | ".join(titles.values()) + " |", "|---" * (len(titles) + 1) + "|"]
    lines += [f"| {row.name} | " + " | ".join(answer(row, who).value for who in titles) + " |" for row in rows]
    return "\n".join(lines)


def expected(row: Case, who: Enum) -> Answer:
    """What the tests expect."""
    return row.answer(who)


def _measured(
    titles: Mapping[Enum, str], rows: Sequence[Case], asks: Mapping[Enum, Ask], site: Site, directory: Path
) -> tuple[str, list[str]]:
    """Ask everybody; return the table, and what was not expected."""
    if missing := [title for who, title in titles.items() if who not in asks]:
        raise MissingError(f"not installed, so there is no page: {', '.join(missing)}")
    found: dict[tuple[str, Enum], Answer] = {}
    with click.progressbar(rows, label=f"{len(titles)} consumers", file=sys.stderr) as shown:
        for row in shown:
            found |= {(row.name, who): asks[who](row.write(site, directory)) for who in titles}
    surprises = [
        f"{titles[who]} says {found[row.name, who].value} to '{row.name}'"
        for row in rows
        for who in titles
        if found[row.name, who] is not expected(row, who)
    ]
    return table(titles, rows, lambda row, who: found[row.name, who]), surprises


def _versions() -> str:
    listed = run(["dpkg-query", "--show", "--showformat", "${Package} ${Version}, ", *_PACKAGES])
    return textwrap.fill(f"Measured with {listed.text.strip(', ')}.", 120, break_on_hyphens=False)


def main() -> int:
    """Run, write, and tell what was not expected."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        site = make_site(directory)
        with of_chains(site, directory) as asks:
            chains, strange = _measured(CHAINS, cases.CASES, asks, site, directory)
        with of_attributes(site, directory) as others:
            attributes, stranger = _measured(ATTRIBUTES, voms_cases.CASES, others, site, directory)
    DOCUMENT.write_text(_DOCUMENT.format(versions=_versions(), chains=chains, attributes=attributes))
    for surprise in (*strange, *stranger):
        click.echo(f"not expected: {surprise}", err=True)
    return 1 if strange or stranger else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MissingError as error:
        click.echo(error, err=True)
        sys.exit(2)
