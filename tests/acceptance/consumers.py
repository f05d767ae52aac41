"""Every consumer at once, asked for a yes or a no: for the table in `docs/consumers.md`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from pathlib import Path

import pytest

from tests.acceptance import cases, voms_cases
from tests.acceptance.arc import arc
from tests.acceptance.globus import Globus
from tests.acceptance.lcmaps import lcmaps_of
from tests.acceptance.library import Library
from tests.acceptance.printers import Printers
from tests.acceptance.site import GRIDMAP, Site
from tests.acceptance.xrootd import storage
from tests.acceptance.xrootd_voms import vo_storage
from tests.tools import openssl
from tests.tools.minting import write_private

Ask = Callable[[bytes], bool]


@contextmanager
def of_chains(site: Site, directory: Path) -> Iterator[Mapping[Enum, Ask]]:
    """Start all who look at chains; one that is not installed is left out."""
    library = Library(site.trust_dir, site.voms_dir)
    asks: dict[Enum, Ask] = {cases.LIBRARY: lambda pem: library.takes(pem).ok}
    with ExitStack() as stack:
        with suppress(pytest.skip.Exception):
            openssl.subject(site.ca.certificate_pem())  # is it there?
            asks |= {
                cases.OPENSSL: lambda pem: openssl.verify(pem, site.trust_dir).ok,
                cases.STRICT: lambda pem: openssl.verify(pem, site.trust_dir, strict=True).ok,
                cases.STRICT_CRL: lambda pem: openssl.verify(pem, site.trust_dir, strict=True, crl_check=True).ok,
            }
        with suppress(pytest.skip.Exception):
            globus = Globus(_folder(directory, "globus"), site.trust_dir, site.host)
            asks[cases.GLOBUS] = lambda pem: globus.authenticates(write_private(directory / "proxy", pem)).ok
        with suppress(pytest.skip.Exception):
            lcmaps = lcmaps_of(site, _folder(directory, "lcmaps"))
            asks[cases.LCMAPS] = lambda pem: lcmaps.by_dn(pem).ok
        with suppress(pytest.skip.Exception):
            hed = stack.enter_context(arc(_folder(directory, "arc"), site.trust_dir, site.host))
            asks[cases.ARC] = lambda pem: hed.takes(pem).ok
        with suppress(pytest.skip.Exception):
            xrootd = stack.enter_context(storage(site.trust_dir, site.host, GRIDMAP))
            asks[cases.GSI] = lambda pem: xrootd.gsi_read(write_private(directory / "proxy", pem)).ok
            asks[cases.HTTPS] = lambda pem: xrootd.https_read(write_private(directory / "proxy", pem)).ok
        yield asks


@contextmanager
def of_attributes(site: Site, directory: Path) -> Iterator[Mapping[Enum, Ask]]:
    """Start all who look at attribute certificates; one that is not installed is left out."""
    library = Library(site.trust_dir, site.voms_dir)
    printers = Printers(_folder(directory, "printers"), site.trust_dir, site.voms_dir)
    asks: dict[Enum, Ask] = {voms_cases.LIBRARY: lambda pem: library.finds("/cms", pem).ok}

    def by_arc(pem: bytes) -> bool:
        printed = printers.arcproxy(write_private(directory / "proxy", pem))
        return printed.verdict.ok and printed.names_group("/cms")

    def by_voms_proxy_info(pem: bytes) -> bool:
        return printers.voms_proxy_info(write_private(directory / "proxy", pem)).names_group("/cms")

    with ExitStack() as stack:
        with suppress(pytest.skip.Exception):
            lcmaps = lcmaps_of(site, _folder(directory, "lcmaps-fqan"))
            asks[voms_cases.LCMAPS] = lambda pem: lcmaps.by_fqan(pem).ok
        with suppress(pytest.skip.Exception):
            xrootd = stack.enter_context(
                vo_storage(
                    *(site.trust_dir, site.voms_dir, site.host),
                    authdb="g /cms /data/cms rl\n",
                    voms_map="",
                    files={"cms/file": "for cms"},
                )
            )
            path = "/data/cms/file"
            asks[voms_cases.XROOTD_GSI] = lambda pem: xrootd.gsi_read(write_private(directory / "proxy", pem), path).ok
            asks[voms_cases.XROOTD_HTTPS] = lambda pem: (
                xrootd.https_read(write_private(directory / "proxy", pem), path).ok
            )
        for consumer, ask in ((voms_cases.ARC, by_arc), (voms_cases.PRINTER, by_voms_proxy_info)):
            with suppress(pytest.skip.Exception):
                ask(voms_cases.CASES[0].pem(site))  # is it there?
                asks[consumer] = ask
        yield asks


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder
