"""What the site meets outside: an IAM, the experiment's storage, a web server that is not a stratum one."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from k8s_manifests.objects import Object
from proxy_gen.ca import CertificateAuthority
from proxy_gen.trust import TrustedAuthority, trust_directory
from tests.acceptance.xrootd import MAPPED, STORAGE, grid_mapfile
from tests.acceptance.xrootd_service import gsi
from tests.cluster.kube import Kube
from tests.cluster.objects import (
    config_map,
    container,
    deployment,
    env,
    from_config_map,
    from_secret,
    scratch,
    secret,
    service,
)
from tests.cluster.settings import Images
from tests.tools.hostcert import issue_host
from tests.tools.minting import authority

PODS = Path(__file__).with_name("pods")
AUDIENCE = "https://ttscache.example"
TOP = "/DC=org/DC=example"
FILES = 2000
PAGE = "what a stratum one has"

_IAM_PORT, WEB_PORT, XROOTD_PORT = 8443, 8000, 1094
_XROOTD_USER = 10005
_ORIGIN = """\
all.export /store
all.adminpath {home}/admin
all.pidpath {home}/admin
xrd.network norpipa nodnr
xrd.port {port}
"""
# the server takes no key that a group may read, and so a Secret mounts it
_START_ORIGIN = """\
install -m 0400 /etc/host/tls.key /home/origin/hostkey.pem
mkdir -p /home/origin/admin /home/origin/store
for number in $(seq 0 {last}); do printf 'content of file %s' $number > /home/origin/store/file-$number; done
exec xrootd -c /etc/origin/xrootd.cfg
"""

_FETCH = """\
import http.client, sys, urllib.parse
url, proxy = sys.argv[1:]
parts = urllib.parse.urlsplit(proxy or url)
connection = http.client.HTTPConnection(parts.netloc, timeout=10)
connection.request("GET", url if proxy else parts.path)
answer = connection.getresponse()
print(answer.status)
print(answer.read().decode())
"""


@dataclass(frozen=True)
class Outside:
    """A namespace beside the site's, with CAs that the site did not make."""

    kube: Kube
    namespace: str
    images: Images
    grid_ca: CertificateAuthority = field(default_factory=lambda: authority(f"{TOP}/CN=grid CA"))
    web_ca: CertificateAuthority = field(default_factory=lambda: authority(f"{TOP}/CN=web CA"))
    client_secret: str = field(default_factory=secrets.token_urlsafe)

    @property
    def iam_url(self) -> str:
        return f"https://{self.host('iam')}:{_IAM_PORT}"

    @property
    def web_url(self) -> str:
        return f"http://{self.host('web')}:{WEB_PORT}/page"

    @property
    def storage(self) -> str:
        """Where the caches fetch from."""
        return f"root://{self.host('origin')}:{XROOTD_PORT}"

    def host(self, name: str) -> str:
        return f"{name}.{self.namespace}.svc.cluster.local"

    def tls(self, *names: str) -> dict[str, bytes]:
        """Return a web server's certificate and key, with the CA to verify it by."""
        return {**_host_files(self.web_ca, *names), "ca.crt": self.web_ca.certificate_pem()}

    def grid_host(self, *names: str) -> dict[str, bytes]:
        """Return a grid host's certificate and key."""
        return _host_files(self.grid_ca, *names)

    def trust(self, *others: x509.Certificate) -> dict[str, str]:
        """Return a trust directory with the grid's CA and others."""
        trusted = [TrustedAuthority(each, (f"{TOP}/*",)) for each in (self.grid_ca.certificate, *others)]
        return {name: content.decode() for name, content in trust_directory(trusted).items()}

    def start(self) -> None:
        """Start what is there before the site, and wait for it."""
        self.kube.apply(*self._iam(), *self._web())
        self.kube.wait_ready(self.namespace)

    def token(self, user: str) -> str:
        """Return a fresh token of a user of the IAM."""
        (pod,) = self.kube.pods(self.namespace, "app=iam")
        verdict = self.kube.run(self.namespace, pod, "iam", "python", "/etc/pods/iam.py", "token", user)
        assert verdict, verdict
        return verdict.text.strip()

    def fetch(self, url: str, proxy: str = "") -> tuple[int, str]:
        """Ask for a page from here, perhaps by an HTTP proxy. Returns status and content."""
        (pod,) = self.kube.pods(self.namespace, "app=web")
        verdict = self.kube.run(self.namespace, pod, "web", "python", "-c", _FETCH, url, proxy)
        assert verdict, verdict
        status, _, content = verdict.text.partition("\n")
        return int(status), content.rstrip("\n")

    def start_origin(self, site_ca: x509.Certificate, gridmap: Mapping[str, str]) -> None:
        """Start the storage, which lets in whom its map has, and wait for it."""
        self.kube.apply(*self._origin(site_ca, gridmap))
        self.kube.wait_ready(self.namespace)

    def _iam(self) -> list[Object]:
        files = self.tls(self.host("iam"))
        own = {"client-secret": self.client_secret, "password": secrets.token_urlsafe()}
        pod = container(
            "iam",
            self.images.ttscache,
            ["python", "/etc/pods/iam.py"],
            {"/etc/pods": "pods", "/etc/iam": "iam"},
            env=env(IAM_URL=self.iam_url, AUDIENCE=AUDIENCE),
            readinessProbe={
                "httpGet": {"path": "/.well-known/openid-configuration", "port": _IAM_PORT, "scheme": "HTTPS"}
            },
        )
        return [
            secret(self.namespace, "iam", {**files, **own}),
            config_map(self.namespace, "pods", {"iam.py": (PODS / "iam.py").read_text()}),
            service(self.namespace, "iam", _IAM_PORT),
            deployment(
                self.namespace, "iam", {"containers": [pod], "volumes": [from_config_map("pods"), from_secret("iam")]}
            ),
        ]

    def _web(self) -> list[Object]:
        command = ["python", "-m", "http.server", str(WEB_PORT), "--directory", "/srv"]
        pod = container(
            "web",
            self.images.ttscache,
            command,
            {"/srv": "web"},
            readinessProbe={"httpGet": {"path": "/", "port": WEB_PORT}},
        )
        return [
            config_map(self.namespace, "web", {"page": PAGE}),
            service(self.namespace, "web", WEB_PORT),
            deployment(self.namespace, "web", {"containers": [pod], "volumes": [from_config_map("web")]}),
        ]

    def _origin(self, site_ca: x509.Certificate, gridmap: Mapping[str, str]) -> list[Object]:
        home = "/home/origin"
        place = {
            "home": home,
            "trust": "/etc/grid-security/certificates",
            "certificate": "/etc/host/tls.crt",
            "key": f"{home}/hostkey.pem",
        }
        door = gsi(*(option.replace("{home}", "/etc/origin") for option in MAPPED))
        rights = STORAGE.replace("{home}/authdb", "/etc/origin/authdb")
        configuration = (_ORIGIN + door + rights).format(**place, port=XROOTD_PORT)
        files = {
            "xrootd.cfg": configuration,
            "grid-mapfile": grid_mapfile(gridmap),
            "authdb": "".join(f"u {account} /store rl\n" for account in set(gridmap.values())),
        }
        pod = container(
            "xrootd",
            self.images.xrootd,
            ["sh", "-c", _START_ORIGIN.format(last=FILES - 1)],
            {
                "/etc/origin": "origin",
                "/etc/host": "origin-host",
                "/etc/grid-security/certificates": "origin-trust",
                home: "home",
                "/tmp": "tmp",  # noqa: S108 - of the container
            },
            readinessProbe={"tcpSocket": {"port": XROOTD_PORT}},
        )
        volumes = [from_config_map("origin"), from_secret("origin-host"), from_config_map("origin-trust")]
        return [
            config_map(self.namespace, "origin", files),
            config_map(self.namespace, "origin-trust", self.trust(site_ca)),
            secret(self.namespace, "origin-host", self.grid_host(self.host("origin"))),
            service(self.namespace, "origin", XROOTD_PORT),
            deployment(
                self.namespace,
                "origin",
                {"containers": [pod], "volumes": [*volumes, scratch("home"), scratch("tmp")]},
            ),
        ]


def _host_files(ca: CertificateAuthority, *names: str) -> dict[str, bytes]:
    made = issue_host(ca.certificate, ca.key, names=names)
    return {
        "tls.crt": made.certificate.public_bytes(Encoding.PEM),
        "tls.key": made.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    }
