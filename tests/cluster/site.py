"""The site: what it is given (Secrets, values of its charts), and how it is brought up."""

import base64
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from cryptography import x509

from k8s_manifests.charts import charts_directory, complete
from k8s_manifests.objects import Key
from tests.acceptance.xrootd import grid_mapfile
from tests.cluster.kube import PATIENCE, Kube
from tests.cluster.objects import config_map, from_config_map, secret
from tests.cluster.outside import AUDIENCE, TOP, WEB_PORT, XROOTD_PORT, Outside
from tests.cluster.reader import NAME as READER
from tests.cluster.settings import Images, image_values

_PEOPLE = f"{TOP}/O=site/OU=people"
PILOT, CACHE, JANE = f"{TOP}/O=site/CN=pilot", f"{TOP}/O=site/CN=cache", f"{_PEOPLE}/CN=jane"
_CA_FILE = "web-ca.pem"

# a site of this size has nothing to do
_SOME_CPU: Mapping[str, Any] = {"requests": {"cpu": "10m"}}

Values = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """The site in its namespace."""

    kube: Kube
    namespace: str
    images: Images
    outside: Outside

    @property
    def _domain(self) -> str:
        return f"{self.namespace}.svc.cluster.local"

    @property
    def daemon_url(self) -> str:
        return f"https://ttscache.{self.namespace}.svc:8443"

    @property
    def source(self) -> str:
        """Where files are read: the caches' redirector."""
        return f"root://xcache-redirector.{self._domain}:{XROOTD_PORT}"

    @property
    def squid_url(self) -> str:
        return f"http://squid.{self._domain}:3128"

    def pods(self, part: str = "") -> list[str]:
        """Return the names of the site's pods that go on running, or of those of one part (CHART/COMPONENT)."""
        chart, _, component = part.partition("/")
        named = f",app.kubernetes.io/name={chart},app.kubernetes.io/component={component}" if part else ""
        found = self.kube.pods(self.namespace, f"app.kubernetes.io/part-of=stateless-site,app!={READER}{named}")
        return [name for name, pod in found.items() if pod["status"]["phase"] == "Running"]

    def address(self, pod: str) -> str:
        return str(self.kube.pods(self.namespace)[pod]["status"]["podIP"])

    def give(self) -> None:
        """Make what an administrator makes before the site: certificates, the client's secret, the pilot's token."""
        self.kube.apply(
            secret(self.namespace, "ttscache-tls", self.outside.tls("ttscache", f"ttscache.{self.namespace}.svc")),
            secret(self.namespace, "iam-client", {"client-secret": self.outside.client_secret}),
            secret(self.namespace, "pilot-token", {"token": self.outside.token("joe")}),
            secret(self.namespace, "xcache-host", self.outside.grid_host(f"*.xcache-cache.{self._domain}")),
            config_map(self.namespace, "grid-cas", self.outside.trust()),
        )

    def bring_up(self, **changes: Mapping[str, Any]) -> None:
        """Install the site, or change it, and wait for it; ``changes`` are laid over its values, by chart."""
        for chart, values in self._values().items():
            _install(chart, self.namespace, _merged(values, changes.get(chart, {})))

    def ca(self) -> x509.Certificate:
        """Return the CA that the site has made for itself, which storage elsewhere has to trust."""
        kept = self.kube.api.get(Key("v1", "Secret", self.namespace, "ttscache-keys"))
        assert kept is not None
        return x509.load_pem_x509_certificate(base64.b64decode(kept["data"]["ca.pem"]))

    def _values(self) -> dict[str, Values]:
        return {"ttscache": self._daemon(), "squid": self._squid(), "xcache": self._xcache()}

    def _daemon(self) -> Values:
        return {
            "fullnameOverride": "ttscache",
            "image": image_values(self.images.ttscache),
            "daemon": {"resources": _SOME_CPU},
            "store": {"kind": "redis"},
            "redis": {
                "image": image_values(self.images.redis),
                "volume": {"size": "1Gi"},
                "resources": _SOME_CPU,
            },
            "secrets": [{"name": "iam-client"}, {"name": "pilot-token"}],
            "files": {_CA_FILE: self.outside.web_ca.certificate_pem().decode()},
            "workloads": {"review": True},
            "config": self._daemon_config(),
        }

    def _daemon_config(self) -> Values:
        """Proxies live for minutes, so that they are renewed while the site is moved about."""
        brief = {"type": "x509-proxy", "lifetime": "4m", "min_lifetime": "30s", "max_lifetime": "10m"}
        return {
            "issuers": [
                {
                    "name": "iam",
                    "url": self.outside.iam_url,
                    "token_issuer": f"{self.outside.iam_url}/",
                    "audiences": [AUDIENCE],
                    "token_profile": "wlcg",
                    "ca_file": _CA_FILE,
                    "exchange": {
                        "client_id": "ttscache",
                        "client_secret": {"file": "/run/secrets/iam-client/client-secret"},
                        "scopes": ["openid", "offline_access", "wlcg.groups"],
                    },
                },
                {
                    "name": "cluster",
                    "url": "https://kubernetes.default.svc",
                    "token_issuer": self.kube.api.token_issuer(),
                    "token_profile": "kubernetes",
                    "audiences": [AUDIENCE],
                    "ca_file": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
                    "api": {"token": {"file": "/var/run/secrets/kubernetes.io/serviceaccount/token"}, "review": True},
                },
            ],
            "sessions": [
                {"name": "pilot", "issuer": "iam", "token": {"file": "/run/secrets/pilot-token/token"}},
                {"name": "cache", "issuer": "iam", "client_credentials": True},
            ],
            "workloads": [
                self._workload(READER, "pilot"),
                self._workload("xcache-cache", "cache"),
            ],
            "mapping": [
                {"name": "pilots", "when": {"session": "pilot"}, "dn": PILOT, "profiles": ["brief"]},
                {"name": "caches", "when": {"session": "cache"}, "dn": CACHE, "profiles": ["brief"]},
                {
                    "name": "people",
                    "when": {"issuer": "iam", "groups": ["/cms"]},
                    "dn": f"{_PEOPLE}/CN={{preferred_username}}",
                    "profiles": ["brief"],
                },
            ],
            "profiles": {"brief": brief},
            "authority": {"subject": f"{TOP}/O=site/CN=site CA"},
        }

    def _workload(self, account: str, session: str) -> Values:
        return {"issuer": "cluster", "namespace": self.namespace, "service_account": account, "session": session}

    def _squid(self) -> Values:
        return {
            "fullnameOverride": "squid",
            "image": image_values(self.images.squid),
            "squid": {"resources": _SOME_CPU},
            "cache": {"memory": "64Mi", "disk": {"size": "256Mi"}},
            "destinations": [self.outside.host("web")],
            "ports": [WEB_PORT],
            "metrics": {"image": image_values(self.images.squid_exporter), "namespace": self.outside.namespace},
            "test": {"image": image_values(self.images.ttscache)},
        }

    def _xcache(self) -> Values:
        anchors = {"name": "grid-cas", "mountPath": "/etc/grid-security/certificates", "readOnly": True}
        return {
            "fullnameOverride": "xcache",
            "image": image_values(self.images.xrootd),
            "origin": {"host": self.outside.host("origin"), "port": XROOTD_PORT},
            "authorization": {
                "gridmap": grid_mapfile({PILOT: "reader", JANE: "reader"}),
                "authdb": "u reader /store/ lr\n",
            },
            "cache": {
                "replicas": 2,
                "ram": "1Gi",
                "volume": {"size": "1Gi"},
                "drainSeconds": 10,
                "terminationGracePeriodSeconds": 30,
                "resources": _SOME_CPU,
            },
            "redirector": {"replicas": 2, "resources": _SOME_CPU},
            "cmsd": {"resources": _SOME_CPU},
            "credentials": {
                "url": self.daemon_url,
                "audience": AUDIENCE,
                "image": image_values(self.images.ttscache),
                "trust": {"base": anchors["mountPath"]},
                "minLeft": "30s",
                "extraVolumeMounts": [anchors],
            },
            "extraVolumes": [from_config_map("grid-cas")],
            "metrics": {"namespace": self.outside.namespace},
        }


def _merged(values: Values, changes: Mapping[str, Any]) -> Values:
    merged = dict(values)
    for name, change in changes.items():
        known = merged.get(name)
        merged[name] = _merged(known, change) if isinstance(known, dict) and isinstance(change, Mapping) else change
    return merged


def _install(chart: str, namespace: str, values: Values) -> None:
    helm = shutil.which("helm")
    assert helm is not None, "there is no program helm on the PATH"
    with complete(charts_directory(), chart) as directory:
        how = ["--namespace", namespace, "--values", "-", "--wait", "--timeout", f"{PATIENCE:.0f}s"]
        done = subprocess.run(
            [helm, "upgrade", "--install", chart, directory, *how],
            input=yaml.safe_dump(values),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        pytest.fail(f"helm upgrade --install {chart}: {done.stderr}")
