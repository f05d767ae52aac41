"""The cluster of the tests is what they take it for: it answers requests as a real API server did."""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.net.private_ca import PrivateCa
from tests.tools.cluster import DISCOVERY, JWKS, REVIEWS, Cluster
from tests.tools.http import Answer, Web
from tests.tools.serviceaccounts import ISSUER

OURS = "https://ttscache.example"
JWK_SET = "application/jwk-set+json"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


@pytest.fixture
def guarded() -> Iterator[Cluster]:
    with Cluster(guarded=True) as running:
        yield running


def web(cluster: Cluster) -> Web:
    return Web(cluster.url, cluster.ca_file)


def review(token: str, *audiences: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"token": token} | ({"audiences": list(audiences)} if audiences else {})
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}


def is_failure(answer: Answer, code: int, reason: str, message: str) -> bool:
    fields = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return answer.status == code and answer.json == {**fields, "reason": reason, "code": code}


def test_discovery(cluster: Cluster) -> None:
    answer = web(cluster).get(DISCOVERY)
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.json == {
        "issuer": ISSUER,
        "jwks_uri": cluster.url + JWKS,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


@pytest.mark.parametrize("accept", ["*/*", JWK_SET, f"application/json, {JWK_SET};q=0.9"])
def test_keys(cluster: Cluster, accept: str) -> None:
    answer = web(cluster).get(JWKS, Accept=accept)
    assert answer.headers.get_content_type() == JWK_SET
    assert answer.json == cluster.jwks


def test_keys_are_json_of_a_kind_of_their_own(cluster: Cluster) -> None:
    answer = web(cluster).get(JWKS, Accept="application/json")
    assert is_failure(answer, 406, "NotAcceptable", "406: Not Acceptable")


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
def test_who_may_read_what_is_guarded(guarded: Cluster, path: str) -> None:
    message = f'forbidden: User "system:anonymous" cannot get path "{path}"'
    assert is_failure(web(guarded).get(path), 403, "Forbidden", message)
    assert web(guarded).get(path, guarded.token("other", "default")).status == 200
    for token in (guarded.token("other", "default", audiences=[OURS]), "garbage"):
        assert is_failure(web(guarded).get(path, token), 401, "Unauthorized", "Unauthorized")


def test_a_bad_token_is_refused_where_none_is_needed(cluster: Cluster) -> None:
    assert web(cluster).get(JWKS, "garbage").status == 401


@pytest.mark.parametrize("audiences", [[], [OURS]])
def test_reviews(cluster: Cluster, audiences: list[str]) -> None:
    reviewer = cluster.reviewer("cms-site", "ttscache")
    for token in ("garbage", cluster.token("cms-site", "wn", pod="wn-0", audiences=[OURS])):
        asked = review(token, *audiences)
        answer = web(cluster).post(REVIEWS, asked, reviewer)
        assert answer.status == 201
        status = cluster.review(token, audiences)
        assert answer.json == {**asked, "metadata": {"creationTimestamp": None}, "status": status}
    answer = web(cluster).post(REVIEWS, review(""), reviewer)
    assert is_failure(answer, 400, "BadRequest", "token is required for TokenReview in authentication")


def test_who_may_ask_for_reviews(cluster: Cluster) -> None:
    what = 'create resource "tokenreviews" in API group "authentication.k8s.io" at the cluster scope'
    for who, by in (("anonymous", None), ("serviceaccount:cms-site:wn", cluster.token("cms-site", "wn"))):
        message = f'tokenreviews.authentication.k8s.io is forbidden: User "system:{who}" cannot {what}'
        assert is_failure(web(cluster).post(REVIEWS, review("garbage"), by), 403, "Forbidden", message)
    reviewer = cluster.reviewer("cms-site", "ttscache")
    assert web(cluster).post(REVIEWS, review("garbage"), reviewer).status == 201
    cluster.delete_service_account("cms-site", "ttscache")
    assert web(cluster).post(REVIEWS, review("garbage"), reviewer).status == 401


def test_two_with_one_issuer(cluster: Cluster, guarded: Cluster) -> None:
    token = cluster.token("cms-site", "wn", audiences=[OURS])
    assert cluster.issuer == guarded.issuer
    assert cluster.url != guarded.url
    assert cluster.review(token, [OURS])["authenticated"]
    assert "cryptographic" in guarded.review(token, [OURS])["error"]


def test_faults(cluster: Cluster) -> None:
    cluster.fault = "error"
    assert web(cluster).get(DISCOVERY).json["reason"] == "InternalError"
    cluster.fault = "html"
    answer = web(cluster).get(DISCOVERY)
    assert (answer.status, answer.headers.get_content_type()) == (200, "text/html")
    cluster.fault = None
    assert web(cluster).get(DISCOVERY).json["issuer"] == ISSUER
    assert cluster.seen[DISCOVERY] == 3


def test_a_slow_one_answers_when_the_fault_is_over(cluster: Cluster) -> None:
    cluster.fault = "slow"
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(web(cluster).get(JWKS).status))
    asking.start()
    asking.join(0.1)
    assert asking.is_alive()
    cluster.fault = None
    asking.join()
    assert answers == [200]


def test_one_that_is_down_comes_back_as_it_was(cluster: Cluster) -> None:
    url, keys = cluster.url, cluster.jwks
    cluster.stop()
    with pytest.raises(ConnectionRefusedError):
        web(cluster).get(JWKS)
    cluster.start()
    assert cluster.url == url
    assert web(cluster).get(JWKS).json == keys


def test_a_slow_one_can_be_ended(cluster: Cluster) -> None:
    cluster.fault = "slow"
    with web(cluster).socket() as stream:
        stream.sendall(b"GET /openid/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n")
        cluster.stop()
        assert stream.recv(1) == b""


def test_tls_is_of_a_ca_of_its_own(tmp_path: Path) -> None:
    with Cluster(tls=tmp_path) as cluster:
        assert web(cluster).get(DISCOVERY).json["jwks_uri"].startswith("https://127.0.0.1:")
        other = PrivateCa().write(tmp_path / "other.pem")
        with pytest.raises(ssl.SSLCertVerificationError):
            Web(cluster.url, other).get(DISCOVERY)
