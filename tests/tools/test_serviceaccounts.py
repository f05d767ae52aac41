"""Tokens and their reviews are of the shape that a real API server's have."""

import base64
import json
from typing import Any

import jwt
import pytest

from tests.tools.serviceaccounts import ISSUER, ServiceAccounts

OURS, THEIRS = "https://ttscache.example", "https://two.example"


@pytest.fixture
def accounts() -> ServiceAccounts:
    return ServiceAccounts()


def header(token: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "==")))


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def refusal(accounts: ServiceAccounts, token: str, *audiences: str) -> str:
    told = accounts.review(token, audiences)
    assert told.keys() == {"user", "error"}
    assert told["user"] == {}
    return str(told["error"])


def test_a_token_of_a_pod(accounts: ServiceAccounts) -> None:
    token = accounts.token("cms-site", "wn", pod="wn-0", audiences=[OURS, THEIRS], lifetime=600)
    assert header(token) == {"alg": "RS256", "kid": accounts.jwks["keys"][0]["kid"]}
    body = claims(token)
    binding = body["kubernetes.io"]
    assert body == {
        "aud": [OURS, THEIRS],
        "exp": body["iat"] + 600,
        "iat": body["iat"],
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": "cms-site",
            "pod": {"name": "wn-0", "uid": binding["pod"]["uid"]},
            "serviceaccount": {"name": "wn", "uid": binding["serviceaccount"]["uid"]},
        },
        "nbf": body["iat"],
        "sub": "system:serviceaccount:cms-site:wn",
    }
    again = claims(accounts.token("cms-site", "wn", pod="wn-0"))
    assert again["kubernetes.io"] == binding
    assert again["aud"] == [ISSUER]


def test_claims_can_be_others(accounts: ServiceAccounts) -> None:
    body = claims(accounts.token("cms-site", "wn", aud=OURS, nbf=..., jti="a"))
    assert (body["aud"], body["jti"]) == (OURS, "a")
    assert "nbf" not in body
    assert "pod" not in body["kubernetes.io"]


def test_keys(accounts: ServiceAccounts) -> None:
    (key,) = accounts.jwks["keys"]
    assert key.keys() == {"use", "kty", "kid", "alg", "n", "e"}
    assert (key["use"], key["kty"], key["alg"]) == ("sig", "RSA", "RS256")
    assert len(key["kid"]) == 43
    jwt.decode(accounts.token("a", "b"), jwt.PyJWK(key), audience=ISSUER, issuer=ISSUER)


def test_keys_rotate(accounts: ServiceAccounts) -> None:
    old = accounts.token("cms-site", "wn")
    accounts.rotate_keys()
    new = accounts.token("cms-site", "wn")
    assert [key["kid"] for key in accounts.jwks["keys"]] == [header(new)["kid"], header(old)["kid"]]
    assert accounts.review(old, [])["authenticated"]
    accounts.rotate_keys(keep_old=False)
    assert len(accounts.jwks["keys"]) == 1
    assert "cryptographic" in refusal(accounts, old)


def test_a_review_of_a_pods_token(accounts: ServiceAccounts) -> None:
    token = accounts.token("cms-site", "wn", pod="wn-0", audiences=[OURS])
    binding = claims(token)["kubernetes.io"]
    assert accounts.review(token, [THEIRS, OURS]) == {
        "authenticated": True,
        "user": {
            "username": "system:serviceaccount:cms-site:wn",
            "uid": binding["serviceaccount"]["uid"],
            "groups": ["system:serviceaccounts", "system:serviceaccounts:cms-site", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/pod-name": ["wn-0"],
                "authentication.kubernetes.io/pod-uid": [binding["pod"]["uid"]],
            },
        },
        "audiences": [OURS],
    }


def test_reviews_for_audiences(accounts: ServiceAccounts) -> None:
    both = accounts.token("cms-site", "wn", audiences=[OURS, THEIRS])
    assert accounts.review(both, [THEIRS, OURS])["audiences"] == [THEIRS, OURS]
    assert "extra" not in accounts.review(both, [OURS])["user"]
    for own in (accounts.token("cms-site", "wn"), accounts.token("cms-site", "wn", aud=...)):
        assert accounts.review(own, [])["audiences"] == [ISSUER]
        assert "audiences" in refusal(accounts, own, OURS)
    several = f'["{OURS}" "{THEIRS}"] is invalid for the target audiences ["{ISSUER}"]'
    assert refusal(accounts, both) == f"[invalid bearer token, token audiences {several}]"


def test_reviews_of_what_is_no_token_of_its_own(accounts: ServiceAccounts) -> None:
    for token in ("garbage", "a.b.c", "a b", accounts.token("cms-site", "wn", iss=ISSUER + "/")):
        assert refusal(accounts, token) == "invalid bearer token"
    signed, _, signature = accounts.token("cms-site", "wn").rpartition(".")
    forged = f"{signed}.{signature[:-8]}AAAAAAAA"
    assert refusal(accounts, forged) == "[invalid bearer token, square/go-jose: error in cryptographic primitive]"


@pytest.mark.parametrize(
    "times, error",
    [
        ({"age": 655, "lifetime": 600}, None),
        ({"age": 665, "lifetime": 600}, "Token has expired."),
        ({"exp": ...}, "Token has expired."),
        ({"age": -55}, None),
        ({"age": -65}, "Token could not be validated."),
    ],
)
def test_reviews_have_a_leeway_of_a_minute(accounts: ServiceAccounts, times: dict[str, Any], error: str | None) -> None:
    told = accounts.review(accounts.token("cms-site", "wn", pod="wn-0", audiences=[OURS], **times), [OURS])
    assert told.get("error") == (None if error is None else f"[invalid bearer token, {error}]")


def test_whom_a_token_stands_for(accounts: ServiceAccounts) -> None:
    token = accounts.token("cms-site", "wn", sub="system:serviceaccount:cms-site:payload")
    assert accounts.review(token, [])["user"]["username"] == "system:serviceaccount:cms-site:wn"
    without: dict[str, Any] = {"kubernetes.io": ...}
    assert (
        refusal(accounts, accounts.token("cms-site", "wn", **without))
        == "[invalid bearer token, resource name may not be empty]"
    )


def test_what_is_deleted(accounts: ServiceAccounts) -> None:
    token = accounts.token("cms-site", "wn", pod="wn-0", audiences=[OURS])
    old = claims(token)["kubernetes.io"]
    accounts.delete_pod("cms-site", "wn-0")
    assert refusal(accounts, token, OURS) == "[invalid bearer token, Token has been invalidated]"
    new = claims(accounts.token("cms-site", "wn", pod="wn-0"))["kubernetes.io"]
    changed = f"Pod UID ({new['pod']['uid']}) does not match claim ({old['pod']['uid']})"
    assert refusal(accounts, token, OURS) == f"[invalid bearer token, {changed}]"
    accounts.delete_service_account("cms-site", "wn")
    assert refusal(accounts, token, OURS) == '[invalid bearer token, serviceaccounts "wn" not found]'
    accounts.token("cms-site", "wn")
    assert "ServiceAccount UID (" in refusal(accounts, token, OURS)
