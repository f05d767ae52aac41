"""Every consumer at once, asked for its answer: for the table in `docs/consumers.md`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance import arc, cases, globus, lcmaps, voms_cases, xrootd, xrootd_voms
from tests.acceptance.answers import Answer, answer
from tests.acceptance.globus import Globus
from tests.acceptance.lcmaps import lcmaps_of
from tests.acceptance.library import REFUSAL as LIBRARY_REFUSAL
from tests.acceptance.library import Library
from tests.acceptance.printers import Printers
from tests.acceptance.site import GRIDMAP, Site
from tests.tools import openssl
from tests.tools.programs import Verdict

Ask = Callable[[Path], Answer]


@contextmanager
def of_chains(site: Site, directory: Path) -> Iterator[Mapping[Enum, Ask]]:
    """Start all who look at chains; one that is not installed is left out."""
    trust = site.trust_dir
    library = Library(trust, site.voms_dir)
    asks: dict[Enum, Ask] = {cases.LIBRARY: _asked(lambda file: library.takes(file.read_bytes()), LIBRARY_REFUSAL)}

    def by_openssl(*, strict: bool = False, crl_check: bool = False) -> Ask:
        ask = partial(openssl.verify, trust_dir=trust, strict=strict, crl_check=crl_check)
        return _asked(lambda file: ask(file.read_bytes()), openssl.REFUSAL)

    with ExitStack() as stack:
        with suppress(pytest.skip.Exception):
            openssl.subject(site.ca.certificate_pem())  # is it there?
            asks[cases.OPENSSL] = by_openssl()
            asks[cases.STRICT] = by_openssl(strict=True)
            asks[cases.STRICT_CRL] = by_openssl(strict=True, crl_check=True)
        with suppress(pytest.skip.Exception):
            asks[cases.GLOBUS] = _asked(Globus(_folder(directory, "globus"), trust, site.host).judges, globus.REFUSAL)
        with suppress(pytest.skip.Exception):
            mapping = lcmaps_of(site, _folder(directory, "lcmaps"))
            asks[cases.LCMAPS] = _asked(lambda file: mapping.by_dn(file.read_bytes()), lcmaps.REFUSAL)
        with suppress(pytest.skip.Exception):
            hed = stack.enter_context(arc.arc(_folder(directory, "arc"), trust, site.host))
            asks[cases.ARC] = _asked(lambda file: hed.takes(file.read_bytes()), arc.REFUSAL)
        with suppress(pytest.skip.Exception):
            server = stack.enter_context(xrootd.storage(trust, site.host, GRIDMAP))
            asks[cases.GSI] = _asked(server.gsi_read, xrootd.REFUSAL_GSI)
            asks[cases.HTTPS] = _asked(server.https_read, xrootd.REFUSAL_HTTPS)
        yield asks


@contextmanager
def of_attributes(site: Site, directory: Path) -> Iterator[Mapping[Enum, Ask]]:
    """Start all who look at attribute certificates; one that is not installed is left out."""
    library = Library(site.trust_dir, site.voms_dir)
    printers = Printers(_folder(directory, "printers"), site.trust_dir, site.voms_dir)
    asks: dict[Enum, Ask] = {
        voms_cases.LIBRARY: _asked(lambda file: library.finds("/cms", file.read_bytes()), LIBRARY_REFUSAL)
    }

    def by_arc(file: Path) -> Answer:
        printed = printers.arcproxy(file)
        return Answer.TAKEN if printed.verdict.ok and printed.names_group("/cms") else Answer.REFUSED

    def by_voms_proxy_info(file: Path) -> Answer:
        return Answer.TAKEN if printers.voms_proxy_info(file).names_group("/cms") else Answer.REFUSED

    with ExitStack() as stack:
        with suppress(pytest.skip.Exception):
            mapping = lcmaps_of(site, _folder(directory, "lcmaps-fqan"))
            asks[voms_cases.LCMAPS] = _asked(lambda file: mapping.by_fqan(file.read_bytes()), lcmaps.REFUSAL_FQAN)
        with suppress(pytest.skip.Exception):
            server = stack.enter_context(
                xrootd_voms.vo_storage(
                    *(site.trust_dir, site.voms_dir, site.host),
                    authdb="g /cms /data/cms rl\n",
                    voms_map="",
                    files={"cms/file": "for cms"},
                )
            )
            path = "/data/cms/file"
            asks[voms_cases.XROOTD_GSI] = _asked(partial(server.gsi_read, path=path), xrootd_voms.REFUSAL_GSI)
            asks[voms_cases.XROOTD_HTTPS] = _asked(partial(server.https_read, path=path), xrootd_voms.REFUSAL_HTTPS)
        for consumer, ask in ((voms_cases.ARC, by_arc), (voms_cases.PRINTER, by_voms_proxy_info)):
            with suppress(pytest.skip.Exception):
                ask(voms_cases.CASES[0].write(site, directory))  # is it there?
                asks[consumer] = ask
        yield asks


def _asked(ask: Callable[[Path], Verdict], refusal: str) -> Ask:
    return lambda file: answer(ask(file), refusal)


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder
