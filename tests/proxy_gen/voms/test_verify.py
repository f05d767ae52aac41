"""Which attribute certificates hold, and with what code the others are refused: beside VOMS's own library."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path as File

import pytest

from proxy_gen.errors import VerificationError
from proxy_gen.proxy import ProxyKind
from proxy_gen.trust import TrustedAuthority, trust_directory
from proxy_gen.voms.verify import verify_holder_and_time
from proxy_gen.voms.vomsdir import VomsTrust
from tests.proxy_gen.chains import HOUR, NOW, TOP, Delegation, authority, path
from tests.proxy_gen.forge import Path, load
from tests.proxy_gen.voms import forge, libvoms
from tests.proxy_gen.voms.cases import CASES, Case
from tests.proxy_gen.voms.makers import FILES
from tests.proxy_gen.voms.world import issued, jane, joe, refused, verified
from tests.tools.programs import Verdict

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")


def named(case: Case) -> str:
    return case.name.replace(" ", "-")


@pytest.mark.parametrize("case", CASES, ids=named)
def test_our_verdict(case: Case) -> None:
    voms = VomsTrust.from_files(case.files())
    if case.code is None:
        assert verified(case.make(), voms=voms)
    else:
        assert refused(case.make(), voms=voms) == (case.code, case.depth)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> File:
    top = tmp_path_factory.mktemp("certificates")
    for name, content in trust_directory([TrustedAuthority(authority().certificate, (f"{TOP}/*",))]).items():
        (top / name).write_bytes(content)
    return top


@pytest.fixture(autouse=True)
def only_these_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    # VOMS loads the machine's own CAs beside them, which takes 40 ms each time
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)


def told_by_voms(links: Path, files: Mapping[str, bytes], certificates: File, vomsdir: File) -> Verdict:
    for name, content in files.items():
        (vomsdir / name).parent.mkdir(exist_ok=True)
        (vomsdir / name).write_bytes(content)
    return libvoms.retrieve(links.signed()[:-1], vomsdir, certificates, NOW)


@pytest.mark.parametrize("case", [case for case in CASES if case.by_voms is not None], ids=named)
def test_the_verdict_of_voms(case: Case, certificates: File, tmp_path: File) -> None:
    told = told_by_voms(case.make(), case.files(), certificates, tmp_path)
    assert told.ok is case.by_voms, told


def test_voms_reads_our_targets(certificates: File, tmp_path: File) -> None:
    for targets, taken in (["elsewhere.example", socket.gethostname()], True), (["elsewhere.example"], False):
        links = forge.carrying(jane(), issued(targets=targets).der)
        told = told_by_voms(links, FILES, certificates, tmp_path)
        assert told.ok is taken, told


def test_what_we_take_is_taken_by_voms() -> None:
    assert not [case.name for case in CASES if case.code is None and not case.by_voms]


@pytest.mark.parametrize(
    "chain, now, code",
    [
        (forge.carrying(jane(), issued().der), NOW, None),
        (forge.carrying(jane(), issued(targets=["elsewhere.example"]).der), NOW, None),
        (forge.carrying(joe(), issued().der), NOW, "ac_holder"),
        (forge.carrying(jane(), issued().der), NOW - HOUR, "ac_not_yet_valid"),
        (forge.carrying(jane(), issued().der), NOW + HOUR, "ac_expired"),
        (forge.carrying(jane(), b"xx"), NOW, "ac_malformed"),
    ],
    ids=["good", "for another host", "stolen", "early", "expired", "malformed"],
)
def test_holder_and_time_need_nobodys_trust(chain: Path, now: datetime, code: str | None) -> None:
    certificates = [load(certificate) for certificate in chain.signed()[:-1]]
    if code is None:
        (found,) = verify_holder_and_time(certificates, certificates[-1], now)
        assert found.vo == "cms"
        return
    with pytest.raises(VerificationError) as error:
        verify_holder_and_time(certificates, certificates[-1], now)
    assert (error.value.code, error.value.depth) == (code, 0)


def test_what_is_said_above_an_independent_proxy_is_said_of_somebody_else() -> None:
    delegated = path([Delegation(), Delegation(ProxyKind.INDEPENDENT), Delegation()])
    above, own, below = (forge.carrying(delegated, issued(delegated).der, depth=depth) for depth in (2, 1, 0))
    assert verified(above) == ()
    assert [len(verified(each)) for each in (own, below)] == [1, 1]
