"""A reader on the site's worker nodes: files through redirector and caches, with a proxy that a sidecar keeps."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from k8s_manifests.objects import Object
from tests.cluster.kube import Kube, until
from tests.cluster.objects import config_map, container, deployment, env, from_config_map, scratch
from tests.cluster.outside import AUDIENCE, FILES, PODS
from tests.cluster.settings import Images
from tests.tools.programs import Verdict

NAME = "reader"
# so it is let in by the site's policies: whoever reads has these labels
_WORKER = {
    "app.kubernetes.io/part-of": "stateless-site",
    "app.kubernetes.io/name": "wn",
    "app.kubernetes.io/component": "startd",
}
_CREDENTIALS, _TOKEN = "/run/credentials", "/var/run/secrets/ttscache"
_HEALTH = 8009
_LOG = "/tmp/client.log"  # noqa: S108 - of the container
_SIDECAR = "sidecar"
_CA_FILE = "/etc/ttscache/ca/ca.crt"
_LINE = re.compile(r"^(\d+) (file-\d+) (\d+) (.*)$", re.MULTILINE)
_ENVIRONMENT = {
    "X509_USER_PROXY": f"{_CREDENTIALS}/x509_proxy",
    "X509_CERT_DIR": f"{_CREDENTIALS}/certificates",
    "XrdSecPROTOCOL": "gsi",
    "HOME": "/tmp",  # noqa: S108 - of the container
    "XRD_LOGLEVEL": "Info",
    "XRD_LOGFILE": _LOG,
}
_RENEWALS = re.compile(r'^ttscache_sidecar_renewals_total\{kind="proxy".*\} (\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Attempt:
    """One file that was asked for."""

    number: int
    file: str
    milliseconds: int
    outcome: str

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass(frozen=True)
class Reader:
    """The pod that reads for ever, and what it told."""

    kube: Kube
    namespace: str
    images: Images

    def start(self, source: str, url: str) -> None:
        """Start reading from ``source`` (root://HOST:PORT) with a proxy from the daemon at ``url``."""
        self.kube.apply(*self._objects(source, url))
        self.kube.wait_ready(self.namespace)
        self.after(5)

    @property
    def pod(self) -> str:
        (name,) = self.kube.pods(self.namespace, f"app={NAME}")
        return name

    def attempts(self) -> list[Attempt]:
        log = self.kube.log(self.namespace, self.pod, NAME)
        return [
            Attempt(int(number), file, int(milliseconds), outcome)
            for number, file, milliseconds, outcome in _LINE.findall(log)
        ]

    def after(self, more: int) -> list[Attempt]:
        """Wait until so many attempts more have ended, and return all."""
        wanted = len(self.attempts()) + more
        until(lambda: len(self.attempts()) >= wanted, lambda: f"the reader stands still:\n{self._told()}")
        return self.attempts()

    def _told(self) -> str:
        """Return how the last attempts went, and what the client says of the one that goes on."""
        attempts = "\n".join(map(str, self.attempts()[-3:]))
        return f"{attempts}\n{self.kube.run(self.namespace, self.pod, NAME, 'tail', '-n', '60', _LOG).text}"

    @contextmanager
    def unharmed(self) -> Iterator[None]:
        """Let nothing that is read while the block runs fail, nor the first reads after it."""
        before, pod, began = len(self.attempts()), self.pod, time.monotonic()
        yield
        seconds = time.monotonic() - began
        seen = self.after(10)[before:]
        assert self.pod == pod, "the reader is to stay where it is"
        failed = [attempt for attempt in seen if not attempt.ok]
        longest = max(attempt.milliseconds for attempt in seen)
        print(f"{len(seen)} reads in {seconds:.0f} s, the longest {longest / 1000:.1f} s")  # noqa: T201 - the result
        assert not failed

    def renew(self) -> None:
        """Have the sidecar renew the proxy now, and wait until it has."""
        before = self._renewals()
        assert self._beside("kill", "-HUP", "1")
        until(lambda: self._renewals() > before, lambda: self.kube.log(self.namespace, self.pod, _SIDECAR))

    def exchange(self, token: str, url: str) -> str:
        """Turn a person's token into a proxy; return its file."""
        file = f"{_CREDENTIALS}/person"
        script = f'umask 077; printf %s "$1" > {file}.jwt; shift; exec ttscache exchange "$@"'
        options = [f"--url={url}", f"--ca-file={_CA_FILE}", f"--token-file={file}.jwt", "-o", file]
        verdict = self._beside("sh", "-c", script, "sh", token, *options)
        assert verdict, verdict
        return file

    def read(self, source: str, proxy: str = _ENVIRONMENT["X509_USER_PROXY"]) -> Verdict:
        """Read one file with a proxy."""
        command = ["env", f"X509_USER_PROXY={proxy}", "xrdcp", "--silent", f"{source}//store/file-0", "-"]
        return self.kube.run(self.namespace, self.pod, NAME, *command)

    def _renewals(self) -> int:
        script = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{_HEALTH}/metrics').read().decode())"
        told = self._beside("python", "-c", script)
        found = _RENEWALS.search(told.text)
        assert found is not None, told
        return int(found[1])

    def _beside(self, *command: str) -> Verdict:
        return self.kube.run(self.namespace, self.pod, _SIDECAR, *command)

    def _objects(self, source: str, url: str) -> list[Object]:
        arguments = [
            f"--url={url}",
            f"--token-file={_TOKEN}/token",
            f"--ca-file={_CA_FILE}",
            f"--proxy={_ENVIRONMENT['X509_USER_PROXY']}",
            f"--trust={_ENVIRONMENT['X509_CERT_DIR']}",
            "--trust-base=/etc/grid-security/certificates",
            "--min-left=30s",
        ]
        mounts = {
            _CREDENTIALS: "credentials",
            _TOKEN: "ttscache-token",
            "/etc/ttscache/ca": "ttscache-ca",
            "/etc/grid-security/certificates": "grid-cas",
        }
        sidecar = ["ttscache", "sidecar"]
        account = {"name": NAME, "namespace": self.namespace}
        pod = {
            "serviceAccountName": NAME,
            "initContainers": [container("first", self.images.ttscache, [*sidecar, "--once", *arguments], mounts)],
            "containers": [
                container(_SIDECAR, self.images.ttscache, [*sidecar, f"--health={_HEALTH}", *arguments], mounts),
                container(
                    NAME,
                    self.images.xrootd,
                    ["sh", "/etc/pods/reader.sh"],
                    {"/etc/pods": "reader", _CREDENTIALS: "credentials", "/tmp": "tmp"},  # noqa: S108 - as above
                    env=env(SOURCE=f"{source}//store", FILES=str(FILES), **_ENVIRONMENT),
                ),
            ],
            "volumes": [
                {"name": "credentials", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                {
                    "name": "ttscache-token",
                    "projected": {
                        "defaultMode": 0o440,
                        "sources": [
                            {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 3600, "path": "token"}}
                        ],
                    },
                },
                {
                    "name": "ttscache-ca",
                    "secret": {"secretName": "ttscache-tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]},
                },
                from_config_map("grid-cas"),
                from_config_map("reader"),
                scratch("tmp"),
            ],
        }
        return [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account, "automountServiceAccountToken": False},
            config_map(self.namespace, "reader", {"reader.sh": (PODS / "reader.sh").read_text()}),
            deployment(self.namespace, NAME, pod, _WORKER),
        ]
