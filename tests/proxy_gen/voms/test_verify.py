"""Which attribute certificates hold, and with what code the others are refused: beside VOMS's own library."""

from __future__ import annotations

from pathlib import Path as File

import pytest

from proxy_gen.trust import TrustedAuthority, trust_directory
from proxy_gen.voms.vomsdir import VomsTrust
from tests.proxy_gen.chains import NOW, TOP, authority
from tests.proxy_gen.voms import libvoms
from tests.proxy_gen.voms.cases import CASES, Case
from tests.proxy_gen.voms.world import refused, verified

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


@pytest.mark.parametrize("case", [case for case in CASES if case.by_voms is not None], ids=named)
def test_the_verdict_of_voms(case: Case, certificates: File, tmp_path: File) -> None:
    for name, content in case.files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    told = libvoms.retrieve(case.make().signed()[:-1], tmp_path, certificates, NOW)
    assert told.ok is case.by_voms, told


def test_what_we_take_is_taken_by_voms() -> None:
    assert not [case.name for case in CASES if case.code is None and not case.by_voms]
