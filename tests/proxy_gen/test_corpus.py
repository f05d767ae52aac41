"""Bad input that is kept: each file of the corpus gets the answer that its README tells."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.credential import MAX_CHAIN, MAX_FILE_BYTES, Credential
from proxy_gen.crl import MAX_CRL_BYTES
from proxy_gen.errors import ProxyGenError
from proxy_gen.signing_policy import MAX_POLICY_BYTES
from proxy_gen.trust import TrustAnchors, subject_hash
from proxy_gen.verify import verify
from tests.proxy_gen import der, libcrypto
from tests.proxy_gen.corpus_maker import CORPUS

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

ANCHOR, END_ENTITY = (CORPUS / "anchor.pem").read_bytes(), (CORPUS / "end-entity.pem").read_bytes()
CA = x509.load_pem_x509_certificate(ANCHOR)
NOW = x509.load_pem_x509_certificate(END_ENTITY).not_valid_before_utc + timedelta(minutes=10)
HASH = subject_hash(CA.subject)
DIRECTORY = {
    f"{HASH}.0": ANCHOR,
    f"{HASH}.signing_policy": (CORPUS / "good.signing_policy").read_bytes(),
}
ANSWERS = dict(re.findall(r"^\| `([^`]+)` \|[^|]*\| `([^`]+)` \|$", (CORPUS / "README.md").read_text(), re.MULTILINE))
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\n([A-Za-z0-9+/=\n]+)-----END")
GOOD = sorted(name for name, told in ANSWERS.items() if told == "good" and name.endswith(".pem"))


def answer(pem: bytes, directory: dict[str, bytes]) -> str:
    """Return `good`, or the refusal's code, with the depth where there is one."""
    try:
        verify(Credential.parse(pem).chain, TrustAnchors.from_files(directory), NOW)
    except ProxyGenError as error:
        assert "\n" not in str(error)  # noqa: PT017 - the other outcome is an answer, too
        depth = getattr(error, "depth", None)
        return error.code if depth is None else f"{error.code} {depth}"
    return "good"


def answer_to(name: str, content: bytes) -> str:
    kind = Path(name).suffix
    if kind == ".pem":
        return answer(content, DIRECTORY)
    if kind == ".der":
        return answer(der.pem("CERTIFICATE", content) + END_ENTITY, DIRECTORY)
    file = f"{HASH}.r0" if kind == ".crl" else f"{HASH}{kind}"
    return answer((CORPUS / "good.pem").read_bytes(), DIRECTORY | {file: content})


def test_the_readme_names_every_file_and_no_other() -> None:
    assert set(ANSWERS) == {file.name for file in CORPUS.iterdir()} - {"README.md"}


@pytest.mark.parametrize("name", sorted(ANSWERS))
@pytest.mark.timeout(5)
def test_a_file_gets_its_answer(name: str) -> None:
    assert answer_to(name, (CORPUS / name).read_bytes()) == ANSWERS[name]


@pytest.mark.parametrize("name", GOOD)
def test_what_is_good_is_good_for_openssl(name: str) -> None:
    chain = Credential.parse((CORPUS / name).read_bytes()).chain
    encoded = [certificate.public_bytes(Encoding.DER) for certificate in chain]
    assert libcrypto.verify(encoded, [CA.public_bytes(Encoding.DER)], NOW, strict=True, as_client=True)


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    good = (CORPUS / "good.pem").read_bytes()
    assert answer(good + b" " * MAX_FILE_BYTES, DIRECTORY) == "credential_too_large"
    assert answer(good * MAX_CHAIN, DIRECTORY) == "credential_too_large"
    for kind in ("signing_policy", "namespaces"):
        sample = (CORPUS / f"good.{kind}").read_bytes()
        assert answer_to(f"x.{kind}", sample + b"#" * MAX_POLICY_BYTES + b"\n") == f"{kind}_malformed 1"
    assert answer_to("x.crl", (CORPUS / "good.crl").read_bytes() + b" " * MAX_CRL_BYTES) == "crl_malformed 1"


@given(st.sampled_from(sorted(ANSWERS)), st.data())
@settings(max_examples=500, deadline=2000)
def test_whatever_is_changed_in_a_file_there_is_an_answer(name: str, data: st.DataObject) -> None:
    content = bytearray((CORPUS / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4), label="changes")):
        at = data.draw(st.integers(0, len(content)), label="at")
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3), label="octets")
    # what breaks the base64 is soon told apart: change what is inside, too
    if data.draw(st.booleans(), label="inside") and (found := _BLOCK.search((CORPUS / name).read_bytes())):
        octets = bytearray(base64.b64decode(found[2]))
        for _ in range(data.draw(st.integers(1, 3), label="changes inside")):
            octets[data.draw(st.integers(0, len(octets) - 1), label="where")] = data.draw(st.integers(0, 255))
        content = bytearray(der.pem(found[1].decode(), bytes(octets)) + END_ENTITY * (name.endswith(".pem")))
    assert answer_to(name, bytes(content))
