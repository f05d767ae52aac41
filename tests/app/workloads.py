"""A daemon whose pods come from two clusters that share an issuer's name, and act by the site's standing sessions."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tools.cluster import Cluster
from tests.tools.daemons import Daemon, LiveIam, change, make_site, serve
from tests.tools.http import Answer
from tests.tools.minting import write_private
from tests.tools.serviceaccounts import ISSUER, ServiceAccounts
from ttscache.sandbox.site import Site

OURS, OTHERS = "https://ttscache.example/tier3", "https://ttscache.example/opportunistic"
STORAGE = "https://xcache.example"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"
OWN_TYPE = "urn:ttscache:params:oauth:token-type:"
OWN = ("ttscache", "ttscache")

Edit = Callable[[dict[str, Any]], object]
Run = Callable[[Site, Path], AbstractContextManager[Daemon]]


@dataclass(frozen=True)
class Farm:
    """The daemon, its IAM, and the clusters: `tier3` shows its keys to its own only, `opportunistic` to anybody."""

    daemon: Daemon
    iam: LiveIam
    tier3: Cluster
    opportunistic: Cluster
    presented: list[str] = field(default_factory=list)

    @property
    def site(self) -> Site:
        return self.daemon.site

    def token(
        self,
        service_account: str = "wn",
        namespace: str = "cms-site",
        pod: str | None = "wn-0",
        **how: Any,  # noqa: ANN401 - as ServiceAccounts has it
    ) -> str:
        """Return a token of a pod of `tier3` with this daemon's audience."""
        return self.noted(self.tier3.token(namespace, service_account, pod=pod, **({"audiences": [OURS]} | how)))

    def noted(self, token: str) -> str:
        """Remember a token for :meth:`require_no_token_told`."""
        self.presented.append(token)
        return token

    def proxy(self, token: str, query: str = "") -> Answer:
        return self.daemon.web.get(f"/v1/proxy{query}", token, Accept="application/json")

    def served(self, token: str, query: str = "") -> dict[str, Any]:
        answer = self.proxy(token, query)
        assert answer.status == 200, answer.body
        return answer.json

    def refused(self, token: str, query: str = "") -> tuple[int, object]:
        answer = self.proxy(token, query)
        assert token not in answer.body.decode()
        return answer.status, answer.code

    def exchanged(self, token: str, requested: str, **fields: str) -> Answer:
        kinds = {"subject_token_type": f"{TYPE}jwt", "requested_token_type": requested}
        return self.daemon.web.form({"grant_type": GRANT, "subject_token": token, **kinds, **fields})

    def issues(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the log's lines of what was issued."""
        return [line for line in self.daemon.log(since) if line["event"].endswith("_issued")]

    def require_no_token_told(self) -> None:
        """Find no token in the log, which is at debug level, nor any part of one that is its own."""
        assert self.presented
        own = [self.site.directory / name for name in ("own.token", "pilot.token")]
        log = self.daemon.server.output()
        for token in [*self.presented, *(file.read_text() for file in own)]:
            for part in token.split(".")[1:]:
                assert part[:40] not in log
                assert part[-40:] not in log

    def whoami(self, token: str) -> dict[str, Any]:
        answer = self.daemon.web.get("/v1/whoami", token)
        assert answer.status == 200, answer.body
        return answer.json


def write_own_token(site: Site, cluster: ServiceAccounts, **how: Any) -> None:  # noqa: ANN401 - as ServiceAccounts has it
    """Write the daemon's own token, in the way of the kubelet: the others of a container may read it."""
    file = site.directory / "own.token"
    file.unlink(missing_ok=True)
    write_private(file, cluster.token(*OWN, **how).encode(), mode=0o644)


def add_clusters(site: Site, tier3: Cluster, opportunistic: Cluster) -> None:
    """Change a site so that pods of two clusters are served."""
    issuer = {"token_issuer": ISSUER, "token_profile": "kubernetes"}
    own = {"ca_file": str(tier3.ca_file), "api": {"token": {"file": "own.token"}}}

    def edit(document: dict[str, Any]) -> None:
        document["issuers"][0]["exchange"]["scopes"] += ["wlcg", "storage.read:/"]
        document["issuers"] += [
            {**issuer, "name": "tier3", "url": tier3.url, "audiences": [OURS], **own},
            {**issuer, "name": "opportunistic", "url": opportunistic.url, "audiences": [OTHERS]},
        ]
        document["sessions"] = [
            {"name": "pilot", "issuer": "sandbox", "token": {"file": "pilot.token"}},
            {"name": "service", "issuer": "sandbox", "client_credentials": True},
        ]
        document["workloads"] = [
            _rule("tier3", "wn", "pilot", profiles=["pilot", "condor", "storage"]),
            _rule("tier3", "payload", "service", profiles=["limited"]),
            _rule("tier3", "any", "pilot"),
            _rule("opportunistic", "wn", "pilot", profiles=["short"]),
        ]
        document["profiles"]["storage"] = {"type": "access-token", "audiences": [STORAGE]}
        for rule in document["mapping"]:
            rule["profiles"].append("storage")
        document["mapping"].insert(0, _SERVICE)

    write_own_token(site, tier3)
    change(site, edit)


_SERVICE = {
    "name": "service",
    "when": {"session": "service"},
    "dn": "/DC=org/DC=ttscache/O=sandbox/OU=services/CN=payloads",
    "profiles": ["short", "limited"],
}


def _rule(cluster: str, service_account: str, session: str, **more: object) -> dict[str, object]:
    whom = {"issuer": cluster, "namespace": "cms-site", "service_account": service_account}
    return {**whom, "session": session, **more}


@contextmanager
def farm(directory: Path, edit: Edit = lambda _: None, run: Run = serve) -> Iterator[Farm]:
    """Run such a daemon."""
    with LiveIam() as iam, Cluster(guarded=True, tls=directory) as tier3, Cluster() as opportunistic:
        site = make_site(directory, iam)
        write_private(site.directory / "pilot.token", iam.token().encode())
        add_clusters(site, tier3, opportunistic)
        change(site, edit)
        with run(site, directory) as daemon:
            yield Farm(daemon, iam, tier3, opportunistic)


@contextmanager
def closed_in(site: Farm) -> Iterator[Farm]:
    """Let a farm be asked, and look at its log in the end: no token, and no fault of the daemon's."""
    yield site
    site.require_no_token_told()
    assert [line for line in site.daemon.log() if line["event"] == "request_failed"] == []
