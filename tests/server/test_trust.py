"""What consumers must trust, for anyone."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.tools import openssl
from tests.tools.daemons import unpack
from tests.tools.http import Web
from tests.tools.programs import run


def test_the_ca_and_its_crl(web: Web, tmp_path: Path) -> None:
    certificate, crl = web.get("/trust/ca.pem"), web.get("/trust/crl.der")
    assert certificate.headers.get_content_type() == "application/x-pem-file"
    assert crl.headers.get_content_type() == "application/pkix-crl"
    (tmp_path / "ca.pem").write_bytes(certificate.body)
    (tmp_path / "crl.der").write_bytes(crl.body)
    crl_arguments: list[str | Path] = ["-inform", "DER", "-in", tmp_path / "crl.der", "-CAfile", tmp_path / "ca.pem"]
    told = run(["openssl", "crl", "-noout", *crl_arguments])
    assert told, told
    assert "verify OK" in told.text
    assert b"PRIVATE" not in certificate.body


def test_the_anchors_are_a_trust_directory(web: Web, token: str, tmp_path: Path) -> None:
    answer = web.get("/trust/anchors.tar.gz")
    assert answer.headers.get_content_type() == "application/gzip"
    unpack(answer.body, tmp_path)
    proxy = web.get("/v1/proxy", token).body
    assert openssl.verify(proxy, tmp_path, crl_check=True)
    names = {path.suffix for path in tmp_path.iterdir()}
    assert {".0", ".r0", ".signing_policy"} <= names
    assert not any(b"PRIVATE" in path.read_bytes() for path in tmp_path.iterdir())


def test_what_is_trusted_can_be_cached(web: Web) -> None:
    for path in ("/trust/ca.pem", "/trust/crl.der", "/trust/anchors.tar.gz"):
        answer = web.get(path)
        assert "public" in answer.headers["Cache-Control"]
        again = web.get(path, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.body) == (304, b"")
        assert web.get(path).body == answer.body
        head = web.call("HEAD", path)
        assert (head.status, head.body, head.headers["ETag"]) == (200, b"", answer.headers["ETag"])


def test_the_served_ca_signs_the_proxies(web: Web, token: str) -> None:
    ca = x509.load_pem_x509_certificate(web.get("/trust/ca.pem").body)
    end_entity = x509.load_pem_x509_certificate(openssl.certificates(web.get("/v1/proxy", token).body)[1])
    end_entity.verify_directly_issued_by(ca)
    assert ca.public_bytes(serialization.Encoding.PEM) == web.get("/trust/ca.pem").body
