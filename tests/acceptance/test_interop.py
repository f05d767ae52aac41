"""The other way round: what the grid's own tools make of a certificate of ours, looked at by us.

Their proxies lie under the RSA CA. The tools take the hash from the signature on the certificate that they sign with:
under an ECDSA CA grid-proxy-init gives up, and voms-proxy-init, voms-proxy-fake and voms-server sign with SHA-1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, private_pem
from proxy_gen.pci import ProxyKind, proxy_cert_info
from proxy_gen.voms.certificate import GenericAttribute, attribute_certificates
from tests.acceptance.library import Library
from tests.acceptance.site import JANE, Site
from tests.acceptance.voms_server import VomsServer, voms_server
from tests.tools.hostcert import issue_host
from tests.tools.minting import end_entity, key_of, write_private
from tests.tools.programs import Verdict, environment, need, run

pytestmark = pytest.mark.acceptance


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a certificate and a key in two files, as the tools want them."""

    directory: Path
    trust_dir: Path
    voms_dir: Path
    certificate: Path
    key: Path

    def makes(self, *argv: str | Path) -> Credential:
        """Run a tool that makes a proxy, and return it; `{cert}`, `{key}` and `{out}` stand for the files."""
        done, out = self.tries(*argv)
        assert done, done
        return Credential.parse(out.read_bytes())

    def tries(self, *argv: str | Path) -> tuple[Verdict, Path]:
        need(str(argv[0]))
        out = self.directory / "proxy"
        out.unlink(missing_ok=True)
        files = {"{cert}": self.certificate, "{key}": self.key, "{out}": out}
        env = environment(X509_CERT_DIR=self.trust_dir, X509_VOMS_DIR=self.voms_dir)
        # they make themselves directories at home
        return run([files.get(str(each), each) for each in argv], env=env | {"HOME": str(self.directory)}), out


_FILES = ("-cert", "{cert}", "-key", "{key}", "-out", "{out}")


def _holder(site: Site, directory: Path, ca: CertificateAuthority, kind: KeyKind = KeyKind.RSA_2048) -> Holder:
    credential = end_entity(ca, JANE, kind)
    certificate = directory / "certificate.pem"
    certificate.write_bytes(Credential(credential.chain).to_pem())
    key = write_private(directory / "key.pem", private_pem(key_of(credential)), mode=0o400)
    return Holder(directory, site.trust_dir, site.voms_dir, certificate, key)


@pytest.fixture
def jane(site: Site, tmp_path: Path) -> Holder:
    return _holder(site, tmp_path, site.rsa_ca)


@pytest.mark.parametrize("kind", [KeyKind.RSA_2048, KeyKind.P_256], ids=["rsa", "p-256"])
@pytest.mark.parametrize(
    "options,proxy,path_length",
    [
        pytest.param([], ProxyKind.FULL, None, id="full"),
        pytest.param(["-limited"], ProxyKind.LIMITED, None, id="limited"),
        pytest.param(["-path-length", "2"], ProxyKind.FULL, 2, id="path-length"),
    ],
)
def test_takes_what_voms_proxy_init_makes(
    site: Site,
    library: Library,
    tmp_path: Path,
    kind: KeyKind,
    options: list[str],
    proxy: ProxyKind,
    path_length: int | None,
) -> None:
    made = _holder(site, tmp_path, site.rsa_ca, kind).makes("voms-proxy-init", *_FILES, "-q", *options)
    info = proxy_cert_info(made.leaf)
    assert info is not None
    assert (info.kind, info.path_length) == (proxy, path_length)
    verdict = library.takes(made.to_pem())
    assert verdict, verdict


@pytest.mark.parametrize(
    "options,proxy",
    [
        pytest.param([], ProxyKind.FULL, id="full"),
        pytest.param(["-limited"], ProxyKind.LIMITED, id="limited"),
        pytest.param(["-independent"], ProxyKind.INDEPENDENT, id="independent"),
    ],
)
def test_parses_what_grid_proxy_init_makes_and_misses_the_key_identifier(
    jane: Holder, library: Library, options: list[str], proxy: ProxyKind
) -> None:
    made = jane.makes("grid-proxy-init", *_FILES, "-q", *options)
    info = proxy_cert_info(made.leaf)
    assert info is not None
    assert info.kind is proxy
    assert library.takes(made.to_pem()).text.startswith("authority_key_id_missing")


def test_parses_what_arcproxy_makes_and_misses_the_key_identifier(jane: Holder, library: Library) -> None:
    made = jane.makes("arcproxy", "-C", "{cert}", "-K", "{key}", "-P", "{out}", "-c", "validityPeriod=3600")
    assert library.takes(made.to_pem()).text.startswith("authority_key_id_missing")


@pytest.mark.parametrize("options", [["-old"], ["-draft"]], ids=["gt2", "gt3"])
def test_refuses_the_proxies_from_before_rfc_3820(jane: Holder, library: Library, options: list[str]) -> None:
    made = jane.makes("grid-proxy-init", *_FILES, "-q", *options)
    assert proxy_cert_info(made.leaf) is None
    assert not library.takes(made.to_pem())


def test_an_ecdsa_ca_is_nothing_for_grid_proxy_init(site: Site, tmp_path: Path) -> None:
    done, _ = _holder(site, tmp_path, site.ca).tries("grid-proxy-init", *_FILES, "-debug")
    assert not done
    assert "Certificate's signing algorithm not supported by OpenSSL" in done.text


def test_under_an_ecdsa_ca_voms_proxy_init_signs_with_sha1(site: Site, library: Library, tmp_path: Path) -> None:
    made = _holder(site, tmp_path, site.ca).makes("voms-proxy-init", *_FILES, "-q")
    assert made.leaf.signature_hash_algorithm is not None
    assert made.leaf.signature_hash_algorithm.name == "sha1"
    assert library.takes(made.to_pem()).text.startswith("signature_weak")


def test_takes_the_attributes_that_voms_proxy_fake_makes(
    jane: Holder, site: Site, library: Library, tmp_path: Path
) -> None:
    authority = site.atlas.credential
    certificate = tmp_path / "authority.pem"
    certificate.write_bytes(Credential(authority.chain).to_pem())
    key = write_private(tmp_path / "authority-key.pem", private_pem(key_of(authority)))
    made = jane.makes(
        *("voms-proxy-fake", *_FILES, "-q", "-voms", "atlas", "-uri", "voms.atlas.example:15000"),
        *("-hostcert", certificate, "-hostkey", key, "-newformat", "-ga", "nickname=jane(atlas)"),
        *("-fqan", "/atlas/Role=production/Capability=NULL", "-fqan", "/atlas/Role=NULL/Capability=NULL"),
    )
    (ac,) = attribute_certificates(made.leaf)
    assert [fqan.short for fqan in ac.fqans] == ["/atlas/Role=production", "/atlas"]
    assert ac.attributes == (GenericAttribute("nickname", "jane", "atlas"),)
    verdict = library.finds("/atlas", made.to_pem())
    assert verdict, verdict


@pytest.fixture
def server(site: Site) -> Iterator[VomsServer]:
    host = issue_host(site.rsa_ca.certificate, site.rsa_ca.key)
    with voms_server(site.trust_dir, host) as running:
        running.register(JANE, site.rsa_ca.subject.slash, "/cms", "/cms/Role=production")
        yield running


def test_takes_the_attributes_that_voms_proxy_init_fetches(
    server: VomsServer, site: Site, jane: Holder, tmp_path: Path
) -> None:
    voms_dir = tmp_path / "vomsdir"
    (voms_dir / "cms").mkdir(parents=True)
    (voms_dir / "cms" / "localhost.lsc").write_bytes(server.lsc)
    (tmp_path / "vomses").write_text(server.vomses)
    made = replace(jane, voms_dir=voms_dir).makes(
        "voms-proxy-init", *_FILES, "-vomses", tmp_path / "vomses", "-voms", "cms:/cms/Role=production"
    )
    verdict = Library(site.trust_dir, voms_dir).finds("/cms/Role=production", made.to_pem())
    assert verdict, verdict
