"""What the acceptance tests share: CAs that everything trusts, and the servers, once for each test session."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.trust import TrustedAuthority
from tests.acceptance.authgent import Authgent, authorization_server
from tests.acceptance.globus import Globus
from tests.acceptance.xrootd import XRootD, storage
from tests.tools.hostcert import HostCredential, issue_host
from tests.tools.minting import authority, write_credential, write_trust

TOP = "/DC=ch/DC=example"
JANE, JOE, STRANGER = (f"{TOP}/OU=People/CN={name}" for name in ("jane", "joe", "stranger"))

# who is mapped; the stranger is a person whom the CA knows and the map does not
GRIDMAP = {JANE: "jane", JOE: "joe"}

WriteProxy: TypeAlias = Callable[..., Path]


@dataclass(frozen=True, slots=True)
class Site:
    """A CA of each kind, a trust directory that knows them, and one CA that nobody trusts."""

    ca: CertificateAuthority
    rsa_ca: CertificateAuthority
    untrusted_ca: CertificateAuthority
    trust_dir: Path
    host: HostCredential


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    ca, rsa_ca = authority(f"{TOP}/CN=CA"), authority(f"{TOP}/CN=RSA CA", KeyKind.RSA_2048)
    trusted = [TrustedAuthority(each.certificate, (f"{TOP}/*",)) for each in (ca, rsa_ca)]
    trust_dir = write_trust(tmp_path_factory.mktemp("site") / "certificates", *trusted)
    return Site(ca, rsa_ca, authority(f"{TOP}/CN=Foreign CA"), trust_dir, issue_host(ca.certificate, ca.key))


@pytest.fixture(scope="session")
def globus(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Globus:
    return Globus(tmp_path_factory.mktemp("globus"), site.trust_dir, site.host)


@pytest.fixture(scope="session")
def xrootd(site: Site) -> Iterator[XRootD]:
    with storage(site.trust_dir, site.host, GRIDMAP) as server:
        yield server


@pytest.fixture(scope="session")
def authgent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authgent]:
    with authorization_server(tmp_path_factory.mktemp("authgent")) as server:
        yield server


@pytest.fixture
def proxy_file(tmp_path: Path) -> WriteProxy:
    def write(credential: Credential, *, mode: int = 0o600) -> Path:
        return write_credential(tmp_path / "x509up", credential, mode=mode)

    return write
