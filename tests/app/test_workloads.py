"""What pods get by the standing session that their service account acts by, and what they do not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from proxy_gen.credential import Credential
from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key
from tests.app.workloads import OTHERS, OWN_TYPE, STORAGE, TYPE, Farm, closed_in, farm
from tests.tools import openssl
from tests.tools.daemons import change

IDTOKEN, ACCESS = f"{OWN_TYPE}condor-idtoken", f"{TYPE}access_token"
PILOT = "/DC=org/DC=ttscache/O=sandbox/OU=production/CN=jane/CN=u-"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm(tmp_path_factory.mktemp("farm")) as running, closed_in(running):
        yield running


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def jane(site: Farm) -> str:
    return site.iam.config.user("jane").sub


def test_a_proxy_of_the_session_s(site: Farm) -> None:
    since = site.daemon.server.position()
    served = site.served(site.token(pod="wn-7"), "?lifetime=7200")
    assert served["identity"] == PILOT + jane(site)
    assert (served["account"], served["profile"]) == ("cmsprod", "pilot")
    assert served["fqans"] == ["/cms/Role=production", "/cms"]
    assert openssl.verify(served["pem"].encode(), site.site.certificates, strict=True)
    (line,) = site.issues(since)
    assert (line["pod"], line["event"], line["serial"]) == ("cms-site/wn-7", "credential_issued", served["serial"])


def test_pods_of_one_session_share_its_proxy(site: Farm) -> None:
    first = site.served(site.token(pod="wn-1"), "?lifetime=3600")
    since = site.daemon.server.position()
    assert site.served(site.token(pod="wn-2"), "?lifetime=3600") == first
    assert site.served(site.token("any", pod="x"), "?lifetime=3600") == first
    assert site.issues(since) == []


def test_a_proxy_for_the_pod_s_own_key(site: Farm) -> None:
    since = site.daemon.server.position()
    key = generate_key(KeyKind.RSA_2048)
    body = {"csr": make_csr(key).decode(), "profile": "pilot"}
    answer = site.daemon.web.post("/v1/proxy", body, site.token(pod="wn-csr"))
    assert answer.status == 200, answer.body
    assert "PRIVATE" not in answer.json["pem"]
    leaf = Credential.parse(answer.json["pem"].encode()).leaf
    assert leaf.public_key() == key.public_key()
    assert answer.json["identity"] == PILOT + jane(site)
    assert [line["pod"] for line in site.issues(since)] == ["cms-site/wn-csr"]


def test_a_proxy_at_the_token_endpoint(site: Farm) -> None:
    answer = site.exchanged(site.token(), f"{OWN_TYPE}x509-proxy", lifetime="3600")
    assert answer.status == 200, answer.body
    assert openssl.subject(openssl.certificates(answer.json["access_token"].encode())[1]) == PILOT + jane(site)


def test_an_idtoken(site: Farm) -> None:
    since = site.daemon.server.position()
    answer = site.exchanged(site.token(pod="wn-id"), IDTOKEN)
    assert answer.status == 200, answer.body
    told = claims(answer.json["access_token"])
    assert (told["iss"], told["sub"]) == ("pool.sandbox", "cmsprod@pool.sandbox")
    (line,) = site.issues(since)
    assert (line["event"], line["pod"]) == ("idtoken_issued", "cms-site/wn-id")


def test_an_access_token(site: Farm) -> None:
    since, token = site.daemon.server.position(), site.token(pod="wn-at")
    answer = site.exchanged(token, ACCESS)
    assert answer.status == 200, answer.body
    assert (answer.json["token_type"], answer.json["scope"]) == ("Bearer", "storage.read:/")
    told = claims(site.noted(answer.json["access_token"]))
    assert (told["iss"], told["sub"], told["aud"]) == (site.iam.url, jane(site), STORAGE)
    (line,) = site.issues(since)
    assert (line["event"], line["pod"], line["audiences"]) == ("access_token_issued", "cms-site/wn-at", [STORAGE])
    for field, error in (("audience", "invalid_target"), ("scope", "invalid_scope")):
        assert site.exchanged(token, ACCESS, **{field: "storage.modify:/"}).json["error"] == error


def test_the_pods_of_another_cluster(site: Farm) -> None:
    token = site.noted(site.opportunistic.token("cms-site", "wn", pod="wn-0", audiences=[OTHERS]))
    served = site.served(token)
    assert (served["profile"], served["identity"]) == ("short", PILOT + jane(site))
    assert site.whoami(token)["pod"]["cluster"] == "opportunistic"
    assert site.refused(token, "?profile=pilot") == (403, "profile_refused")


def test_whoami(site: Farm) -> None:
    more: dict[str, Any] = {"wlcg.groups": ["/cms/ttscache-admins"], "scope": "storage.modify:/"}
    token = site.token(pod="wn-9", **more)
    told = site.whoami(token)
    pod = claims(token)["kubernetes.io"]["pod"]
    assert told["pod"] == {
        "cluster": "tier3",
        "namespace": "cms-site",
        "service_account": "wn",
        "name": "wn-9",
        "uid": pod["uid"],
    }
    assert (told["session"], told["issuer"], told["subject"]) == ("pilot", "sandbox", jane(site))
    # by what the issuer said of the session; what else the pod's token says counts for nothing
    assert told["groups"] == ["/cms", "/cms/production"]
    assert "storage.modify:/" not in told["scopes"]
    assert list(told["decision"]["profiles"]) == ["pilot", "condor", "storage"]
    people = site.whoami(site.iam.token())
    assert (people["session"], people["pod"]) == (None, None)


@pytest.mark.parametrize(
    "service_account, namespace",
    [("wn", "other"), ("wn", "kube-system"), ("default", "cms-site"), ("wn2", "cms-site"), ("ttscache", "ttscache")],
)
def test_pods_that_no_rule_is_for(site: Farm, service_account: str, namespace: str) -> None:
    token = site.token(service_account, namespace)
    answer = site.proxy(token)
    assert (answer.status, answer.code) == (403, "mapping_refused")
    assert f"service account '{service_account}' of namespace '{namespace}' in cluster 'tier3'" in answer.json["detail"]
    for requested in (IDTOKEN, ACCESS):
        assert site.exchanged(token, requested).code == "mapping_refused"
    assert site.daemon.web.get("/v1/whoami", token).code == "mapping_refused"


def test_profiles_outside_the_rule_s(site: Farm) -> None:
    token = site.token()
    assert site.served(token)["profile"] == "pilot"
    for profile in ("limited", "short"):
        assert site.refused(token, f"?profile={profile}") == (403, "profile_refused")
        assert site.served(site.iam.token(), f"?profile={profile}")["profile"] == profile
        assert site.served(site.token("any"), f"?profile={profile}")["profile"] == profile
    assert site.refused(token, "?profile=nowhere") == (400, "profile_unknown")


def test_a_payload_gets_nothing_of_the_pilot_s(site: Farm) -> None:
    token = site.token("payload", pod="wn-0")
    served = site.served(token)
    assert (served["profile"], served["fqans"], served["account"]) == ("limited", [], None)
    assert served["identity"].endswith("/OU=services/CN=payloads")
    for profile in ("pilot", "short", "condor", "storage"):
        assert site.refused(token, f"?profile={profile}") == (403, "profile_refused")
    for requested, profile in ((IDTOKEN, "condor"), (ACCESS, "storage"), (f"{OWN_TYPE}x509-proxy", "pilot")):
        answer = site.exchanged(token, requested, profile=profile)
        assert (answer.status, answer.code) == (400, "profile_refused")
    for query in ("?fqan=/cms/Role=production", "?limited=false&profile=pilot"):
        assert site.refused(token, query)[0] == 403
    told = site.whoami(token)
    assert (told["session"], told["groups"], list(told["decision"]["profiles"])) == ("service", [], ["limited"])


def test_the_redeeming_of_a_credential_monitor(site: Farm) -> None:
    path = "/v1/credentials/x509/redeem"
    assert site.daemon.web.post(path, {}, site.token()).json["dn"] == PILOT + jane(site)
    # that audience is for people's tokens only
    answer = site.daemon.web.post(path, {}, site.token(audiences=["af-credmon/x509"]))
    assert (answer.status, answer.code) == (401, "audience_mismatch")


@pytest.mark.parametrize("service_account", ["wn", "any", "payload"])
def test_a_pod_administers_nothing(site: Farm, service_account: str) -> None:
    require_no_administrator(site, site.token(service_account))


def require_no_administrator(site: Farm, token: str) -> None:
    web = site.daemon.web
    for path in ("sessions", "credentials", "identities/revoked", "statistics", "mapfiles/gridmap"):
        answer = web.get(f"/admin/v1/{path}", token)
        assert (answer.status, answer.code) == (403, "admin_required"), path
    for path in ("reload", "identities/revoke", "standing/pilot/open"):
        answer = web.post(f"/admin/v1/{path}", {"issuer": "sandbox", "subject": "x", "reason": "y"}, token)
        assert (answer.status, answer.code) == (403, "admin_required"), path


def test_nor_does_it_where_its_session_is_an_administrator_s(tmp_path: Path) -> None:
    with farm(tmp_path) as site:
        file = site.site.directory / "pilot.token"
        file.write_text(site.iam.token("admin"))
        change(site.site, lambda document: document["sessions"][0].update(name="ada"))
        change(site.site, lambda document: [rule.update(session="ada") for rule in document["workloads"]])
        assert site.daemon.reload()["event"] == "reloaded"
        token = site.token()
        assert "/cms/ttscache-admins" in site.whoami(token)["groups"]
        assert site.daemon.web.get("/admin/v1/sessions", site.iam.token("admin")).status == 200
        require_no_administrator(site, token)
