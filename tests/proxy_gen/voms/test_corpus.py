"""Attribute certificates that are kept: each file of the corpus gets the answer that its README tells."""

from __future__ import annotations

import re

import pytest
from cryptography import x509

from proxy_gen.credential import Credential
from proxy_gen.errors import ProxyGenError
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.verify import verify_attributes
from proxy_gen.voms.vomsdir import VomsTrust
from tests.proxy_gen.chains import NOW
from tests.proxy_gen.voms.corpus_maker import CORPUS

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

ANSWERS = dict(re.findall(r"^\| `([^`]+)` \|[^|]*\| `([^`]+)` \|$", (CORPUS / "README.md").read_text(), re.MULTILINE))
TRUST = TrustAnchors.of([x509.load_pem_x509_certificate((CORPUS / "anchor.pem").read_bytes())])
VOMS = VomsTrust.from_files({f.name.replace("-", "/", 1): f.read_bytes() for f in CORPUS.glob("*.lsc")})


def answer_to(name: str, content: bytes) -> str:
    try:
        if name.endswith(".der"):
            AttributeCertificate.parse(content)
        else:
            chain = Credential.parse(content).chain
            verify_attributes(chain, verify(chain, TRUST, NOW), VOMS, TRUST, NOW)
    except ProxyGenError as error:
        assert str(error).isprintable()  # noqa: PT017 - the other outcome is an answer, too
        return error.code
    return "good"


def test_the_readme_names_every_file_and_no_other() -> None:
    trusted = {"README.md", "anchor.pem", *(file.name for file in CORPUS.glob("*.lsc"))}
    assert set(ANSWERS) == {file.name for file in CORPUS.iterdir()} - trusted


@pytest.mark.parametrize("name", sorted(ANSWERS))
@pytest.mark.timeout(5)
def test_a_file_gets_its_answer(name: str) -> None:
    assert answer_to(name, (CORPUS / name).read_bytes()) == ANSWERS[name]
