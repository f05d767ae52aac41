"""What old worker images are served, and who is not."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from proxy_gen.credential import Credential
from tests.app.legacy import PATHS, STRANGER, WORKER, Old, old
from tests.app.test_secrets import fragments, key_material
from tests.tools import openssl
from tests.tools.daemons import change, serve
from tests.tools.http import Answer
from tests.tools.programs import environment, need, serving, wait_for
from ttscache.sandbox.iam.faults import Fault

PILOT = "/DC=org/DC=ttscache/O=sandbox/OU=production/CN=jane/CN=u-"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    with old(tmp_path_factory.mktemp("old")) as running:
        yield running
        assert [line for line in running.daemon.log() if line["event"] == "request_failed"] == []


def worker(cache: Old) -> dict[str, str]:
    return environment(PROXY_CACHE=cache.url, X509_CERT_DIR=cache.site.certificates)


def test_the_script_of_the_worker_image(cache: Old, tmp_path: Path) -> None:
    need("bash", "curl", "grid-proxy-info")
    with serving(["bash", "-c", WORKER], log=tmp_path / "log", env=worker(cache), directory=tmp_path) as script:
        assert script.ended() == ""
        assert script.process.returncode == 0
    file = tmp_path / "gwms_proxy"
    assert file.stat().st_mode & 0o777 == 0o600
    assert openssl.verify(file.read_bytes(), cache.site.certificates, strict=True)
    assert openssl.subject(openssl.certificates(file.read_bytes())[1]) == PILOT + cache.iam.config.user("jane").sub


def test_the_script_goes_on_until_there_is_a_proxy(tmp_path: Path) -> None:
    need("bash", "curl", "grid-proxy-info")
    with old(tmp_path, up=False) as cache:
        env = worker(cache)
        with serving(["bash", "-c", WORKER], log=tmp_path / "script", env=env, directory=tmp_path) as script:
            cache.daemon.wait_for_event("legacy_failed")
            assert script.process.poll() is None
            cache.iam.start()
            assert script.ended() == ""
            assert script.process.returncode == 0
        assert (tmp_path / "gwms_proxy").read_bytes() == cache.proxy()


@pytest.mark.parametrize("path", ["/get_proxy", "/cgi-bin/get_proxy"])
def test_the_answer(cache: Old, path: str) -> None:
    fetched = cache.curl(path)
    assert fetched.status == 200
    head = fetched.head.lower()
    assert "content-type: application/octet-stream\r\n" in head
    assert 'content-disposition: attachment; filename="proxy.pem"' in head
    assert "cache-control: no-store" in head
    assert fetched.body == cache.proxy()


def test_one_key_which_is_the_proxy_s_own(cache: Old) -> None:
    """No certificate's that lives longer: who has the file has the proxy, and no more."""
    pem = cache.proxy()
    assert pem.count(b"PRIVATE KEY-----") == 2  # the beginning and the end
    credential = Credential.parse(pem)
    assert credential.key is not None
    leaf, *above = x509.load_pem_x509_certificates(pem)
    assert credential.key.public_key() == leaf.public_key()
    assert all(each.public_key() != leaf.public_key() for each in above)


@pytest.mark.parametrize("path", PATHS)
def test_other_networks_are_refused(cache: Old, path: str) -> None:
    claims = ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1", "Host: 127.0.0.1")
    since = cache.daemon.server.position()
    for header in ("", *claims):
        options = ("-H", header) if header else ()
        fetched = cache.curl(path, "--interface", STRANGER, *options)
        assert fetched.status == 403
        assert "content-type: text/html" in fetched.head.lower()
        assert b"PRIVATE" not in fetched.body
        assert b"OK" not in fetched.body
    assert cache.curl(path, "--interface", "127.0.0.77", "-H", f"X-Forwarded-For: {STRANGER}").status == 200
    lines = [line for line in cache.daemon.log(since) if line["event"] == "legacy_refused"]
    assert [line["peer"] for line in lines] == [STRANGER] * 5


def test_which_networks_may_be_changed(tmp_path: Path) -> None:
    with old(tmp_path) as cache:
        change(cache.site, lambda document: document["legacy"].update(networks=[f"{STRANGER}/32"]))
        assert cache.daemon.reload()["event"] == "reloaded"
        assert cache.curl("/get_proxy", "--interface", STRANGER).status == 200
        assert cache.curl("/get_proxy").status == 403


@pytest.mark.parametrize(
    "query", ["?profile=limited", "?profile=short&lifetime=600", "?session=other", "?limited=true"]
)
def test_one_profile_whatever_is_asked_for(cache: Old, query: str) -> None:
    for path in PATHS[:2]:
        assert cache.web.get(path + query).body == cache.proxy()


def test_one_identity_whoever_asks(cache: Old) -> None:
    for token in (cache.iam.token("joe"), "garbage"):
        assert cache.web.get("/get_proxy", token).body == cache.proxy()


def test_what_is_not_there(cache: Old) -> None:
    token = cache.iam.token("admin")
    for path in ("/v1/proxy", "/v1/whoami", "/admin/v1/sessions", "/metrics", "/healthz", "/readyz", "/trust/ca.pem"):
        assert cache.web.get(path, token).status == 404, path
        assert cache.daemon.web.get(path, token).status == 200, path
    for path in ("/.well-known/oauth-authorization-server", "/openapi.json", "/ui/", "/", "/cgi-bin/"):
        assert cache.web.get(path, token).status == 404, path
    assert cache.web.form({"grant_type": "x"}).status == 404
    for path in ("/v1/proxy", "/admin/v1/reload", "/v1/credentials/x509/redeem"):
        assert cache.web.post(path, {}, token).status == 404, path
    for path in PATHS:
        assert cache.daemon.web.get(path, token).status == 404, path
        assert cache.web.post(path, {}).status == 405, path


def test_nothing_is_revoked_behind_the_callers_back(cache: Old) -> None:
    cache.proxy()
    crl = x509.load_der_x509_crl(cache.daemon.web.get("/trust/crl.der").body)
    assert list(crl) == []
    assert openssl.verify(cache.proxy(), cache.site.certificates, crl_check=True)


def at_once(cache: Old, number: int) -> list[Answer]:
    """Ask so many times at the same moment."""
    answers: list[Answer] = []
    gate = threading.Barrier(number)

    def ask() -> None:
        gate.wait()
        answers.append(cache.web.get("/cgi-bin/get_proxy"))

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_callers_at_once(tmp_path: Path) -> None:
    """All are served, by one exchange and one proxy; a failure before leaves nothing behind that is in the way."""
    with old(tmp_path, up=False) as cache:
        assert {answer.status for answer in at_once(cache, 20)} == {500}
        cache.iam.start()
        wait_for(lambda: cache.is_healthy() or None, cache.daemon.server.output)
        assert {answer.status for answer in at_once(cache, 20)} == {200}
    with old(tmp_path / "cold") as cache:
        answers = at_once(cache, 60)
        assert [answer.status for answer in answers] == [200] * 60
        assert len({answer.body for answer in answers}) == 1
        assert cache.iam.grants == {"token_exchange": 1}


def test_tls(tmp_path: Path) -> None:
    with old(tmp_path, lambda document: document["legacy"].update(plaintext=False)) as cache:
        assert cache.url.startswith("https://127.0.0.1:")
        fetched = cache.curl("/get_proxy", "--cacert", cache.site.server_ca)
        assert (fetched.status, fetched.body) == (200, cache.proxy())
        assert cache.curl("/get_proxy").status == 0, "not by the system's CAs"
        assert cache.curl("/get_proxy", "--cacert", cache.site.server_ca, "--interface", STRANGER).status == 403
        plain = replace(cache.daemon, ready={"legacy_url": cache.url.replace("https:", "http:")})
        told = Old(plain, cache.iam).curl("/get_proxy")
        assert (told.status, told.body) == (0, b"")


def test_no_listener_unless_it_is_configured(tmp_path: Path) -> None:
    with old(tmp_path, lambda document: document.pop("legacy")) as cache:
        assert "legacy_url" not in cache.daemon.ready
        assert cache.daemon.web.get("/get_proxy").status == 404


def test_nothing_secret_is_told(tmp_path: Path) -> None:
    planted = {"IAM_TOKEN": "planted-in-the-environment-1", "IAM_CLIENT_SECRET": "planted-in-the-environment-2"}
    with old(tmp_path, run=lambda site, where: serve(site, where, **planted)) as cache:
        refresh = "planted-refresh-token-of-an-issuer"
        cache.iam.fault(Fault(endpoint="token", grant="token_exchange", answer={"refresh_token": refresh}, times=1))
        pem = cache.proxy().decode()
        for path in (*PATHS, "/get_proxy?x=y"):
            cache.web.get(path, pem[:2000].replace("\n", ""))
            cache.curl(path, "--interface", STRANGER)
        cache.iam.fault(Fault(endpoint="token", body="error", status=400))
        cache.web.get("/get_dn_map")
        assert cache.daemon.stop() == 0
        secrets = {**planted, "refresh": refresh, "key": key_material(pem)}
        secrets["client secret"] = cache.iam.config.client("ttscache").secret
        secrets["token"] = (cache.site.directory / "pilot.token").read_text().rpartition(".")[2]
        told = set(fragments(cache.daemon.server.output()))
        for name, secret in secrets.items():
            assert told.isdisjoint(fragments(secret)), name
