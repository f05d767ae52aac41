"""Proxies over HTTP: their forms, the cached one and its tag, and what holds for a CSR."""

import json
import re
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from proxy_gen.credential import Credential
from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key
from proxy_gen.pci import ProxyKind, proxy_cert_info
from tests.server.test_errors import exchange
from tests.tools import openssl
from tests.tools.daemons import Daemon, ttscache
from tests.tools.http import JSON, Answer, Web

PEM = "application/x-pem-file"
X509_PROXY = "urn:ttscache:params:oauth:token-type:x509-proxy"


def is_secret(answer: Answer) -> Answer:
    assert answer.status == 200, answer.body
    assert "no-store" in answer.headers["Cache-Control"]
    return answer


def test_pem_is_the_form_unless_json_is_asked_for(web: Web, token: str) -> None:
    for accept, expected in {
        "": PEM,
        "*/*": PEM,
        "text/html": PEM,
        PEM: PEM,
        "application/json": "application/json",
        "Application/JSON": "application/json",
        "application/json;q=0.5, text/html": "application/json",
        "application/json;q=0": PEM,
        f"application/json;q=0.1, {PEM}": PEM,
        f"application/json;q=nan, {PEM};q=0.001": PEM,
        "application/jsonx": PEM,
    }.items():
        headers = {"Accept": accept} if accept else {}
        for answer in (
            web.call("GET", "/v1/proxy", headers, token=token),
            web.call("POST", "/v1/proxy", headers, b"", token),
        ):
            assert is_secret(answer).headers.get_content_type() == expected, accept
            assert {"Accept", "Authorization"} <= set(answer.headers["Vary"].split(", "))


def test_the_fields_of_the_json_form(web: Web, token: str, daemon: Daemon) -> None:
    answer = is_secret(web.post("/v1/proxy", {"lifetime": 3600}, token)).json
    assert set(answer) == {
        "pem",
        "subject",
        "identity",
        "account",
        "issuer",
        "not_before",
        "not_after",
        "fqans",
        "serial",
        "profile",
        "shortened_by",
    }
    leaf, end_entity, *_ = openssl.certificates(answer["pem"].encode())
    assert answer["subject"] == openssl.subject(leaf)
    assert answer["identity"] == openssl.subject(end_entity)
    assert answer["issuer"] == openssl.issuer(end_entity)
    credential = Credential.parse(answer["pem"].encode())
    assert credential.key is not None
    assert answer["serial"] == str(credential.leaf.serial_number)
    for name, moment in (
        ("not_before", credential.leaf.not_valid_before_utc),
        ("not_after", credential.leaf.not_valid_after_utc),
    ):
        assert datetime.strptime(answer[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) == moment
    assert (answer["account"], answer["profile"]) == ("cmsprod", "pilot")
    assert (answer["fqans"], answer["shortened_by"]) == (["/cms/Role=production", "/cms"], [])
    left = (credential.leaf.not_valid_after_utc - datetime.now(UTC)).total_seconds()
    assert 3540 < left <= 3600
    assert openssl.verify(answer["pem"].encode(), daemon.site.certificates, crl_check=True)


def test_get_returns_the_cached_proxy_and_304(web: Web, token: str) -> None:
    first, second = (is_secret(web.get("/v1/proxy?profile=limited", token)) for _ in range(2))
    assert first.body == second.body
    etag = first.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = web.get("/v1/proxy?profile=limited", token, If_None_Match=known)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
        assert "no-store" in answer.headers["Cache-Control"]
    for unknown in ('"other"', "garbage", ""):
        assert web.get("/v1/proxy?profile=limited", token, If_None_Match=unknown).body == first.body
    # another form is other bytes, and another proxy is another proxy
    json_form = web.call("GET", "/v1/proxy?profile=limited", {**JSON, "If-None-Match": etag}, token=token)
    assert json_form.status == 200
    assert json_form.json["pem"].encode() == first.body
    assert web.get("/v1/proxy?profile=short", token, If_None_Match=etag).status == 200


def test_the_cached_proxy_is_the_callers_own(web: Web, token: str, daemon: Daemon) -> None:
    mine = web.call("GET", "/v1/proxy", JSON, token=token).json
    joes = web.call("GET", "/v1/proxy", JSON, token=_token(daemon, "joe")).json
    assert mine["identity"] != joes["identity"]
    assert joes["account"] == "joe"


def _token(daemon: Daemon, user: str) -> str:
    return ttscache("sandbox", "token", "--dir", daemon.site.directory, "--user", user).text.strip()


@pytest.mark.parametrize(
    "wanted, expected",
    [
        ({}, ProxyKind.FULL),
        ({"limited": True}, ProxyKind.LIMITED),
        ({"profile": "limited"}, ProxyKind.LIMITED),
        ({"profile": "limited", "limited": False}, ProxyKind.FULL),
    ],
)
def test_limited_is_as_the_profile_says_unless_asked(
    web: Web, token: str, wanted: dict[str, object], expected: ProxyKind
) -> None:
    answers = [web.call("POST", "/v1/proxy", {}, json.dumps(wanted).encode(), token)]
    texts = {name: str(value).lower() for name, value in wanted.items()}
    query = "&".join(f"{name}={value}" for name, value in texts.items())
    answers.append(web.get(f"/v1/proxy?{query}", token))
    for answer in answers:
        info = proxy_cert_info(Credential.parse(is_secret(answer).body).leaf)
        assert info is not None
        assert info.kind is expected
    info = proxy_cert_info(Credential.parse(exchange(web, token, **texts).json["access_token"].encode()).leaf)
    assert info is not None
    assert info.kind is expected


def test_for_a_csr_no_key_travels_and_the_chain_is_for_ours(web: Web, token: str, daemon: Daemon) -> None:
    key = generate_key(KeyKind.RSA_2048)
    csr = make_csr(key).decode()
    chains = [
        is_secret(web.post("/v1/proxy", {"csr": csr}, token)).json["pem"],
        is_secret(web.call("POST", "/v1/proxy", {}, json.dumps({"csr": csr}).encode(), token)).body.decode(),
        is_secret(exchange(web, token, csr=csr)).json["access_token"],
    ]
    for pem in chains:
        assert "PRIVATE KEY" not in pem
        chain = Credential.parse(pem.encode()).chain
        ours = Credential(chain, key)  # raises unless it is for our key
        assert openssl.verify(ours.to_pem(), daemon.site.certificates, strict=True, crl_check=True)
    assert len(set(chains)) == len(chains), "answers to a CSR are not cached"
    assert len({openssl.certificates(pem.encode())[1] for pem in chains}) == 1, "the EEC below them is"


def test_the_subject_and_extensions_of_a_csr_are_ignored(web: Web, token: str) -> None:
    key = generate_key(KeyKind.RSA_2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    csr = request.public_bytes(serialization.Encoding.PEM).decode()
    answer = web.post("/v1/proxy", {"csr": csr}, token).json
    assert "root" not in answer["subject"]
    assert "CA:TRUE" not in openssl.text(answer["pem"].encode())


def test_the_token_endpoint_answers_as_rfc_8693_has_it(web: Web, token: str) -> None:
    answer = exchange(web, token, lifetime="3600", requested_token_type=X509_PROXY, unheard_of="ignored")
    assert is_secret(answer).headers["Pragma"] == "no-cache"
    assert set(answer.json) == {"access_token", "issued_token_type", "token_type", "expires_in"}
    assert answer.json["issued_token_type"] == X509_PROXY
    assert answer.json["token_type"] == "N_A"
    assert 3500 < answer.json["expires_in"] <= 3600
    assert Credential.parse(answer.json["access_token"].encode()).key is not None


def test_parameters_without_a_value_are_as_good_as_omitted(web: Web, token: str) -> None:
    empty = dict.fromkeys(("profile", "lifetime", "limited", "csr", "fqan", "scope", "audience", "actor_token"), "")
    assert exchange(web, token, **empty, requested_token_type="").status == 200
    assert exchange(web, f"\n{token}\n").status == 200, "a file's last newline"


def test_the_metadata_is_true(web: Web) -> None:
    answer = web.get("/.well-known/oauth-authorization-server")
    assert answer.headers.get_content_type() == "application/json"
    document = answer.json
    assert document["issuer"] == web.url
    assert document["token_endpoint"] == web.url + "/token"
    assert document["grant_types_supported"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    assert X509_PROXY in document["requested_token_types_supported"]
    assert document["response_types_supported"] == []


def test_whoami_tells_identity_decision_trace_and_lifetimes(web: Web, token: str, daemon: Daemon) -> None:
    answer = is_secret(web.get("/v1/whoami", token)).json
    assert answer["issuer"] == "sandbox"
    assert answer["groups"] == ["/cms", "/cms/production"]
    assert answer["refused"] is None
    decision = answer["decision"]
    assert decision["rule"] == "production"
    assert decision["account"] == "cmsprod"
    assert decision["fqans"] == ["/cms/Role=production", "/cms"]
    assert list(decision["profiles"]) == ["pilot", "limited", "short", "storage", "condor", "ec"]
    assert decision["profiles"]["condor"]["type"] == "condor-idtoken"
    short = decision["profiles"]["short"]
    assert (short["lifetime"], short["min_lifetime"], short["max_lifetime"]) == (600, 60, 3600)
    assert answer["trace"] == [{"rule": "production", "matched": True, "why": "every condition holds"}]
    assert answer["authority"] == web.call("GET", "/v1/proxy", JSON, token=token).json["issuer"]
    joe = web.get("/v1/whoami", _token(daemon, "joe")).json
    assert [entry["matched"] for entry in joe["trace"]] == [False, True]
    assert "/cms/production" in joe["trace"][0]["why"]


def test_whoami_tells_why_the_mapping_refuses(web: Web, daemon: Daemon) -> None:
    nobody = ttscache("sandbox", "token", "--dir", daemon.site.directory, "--scope", "openid profile").text.strip()
    answer = is_secret(web.get("/v1/whoami", nobody)).json
    assert answer["decision"] is None
    assert answer["refused"]["code"] == "mapping_refused"
    assert [entry["matched"] for entry in answer["trace"]] == [False, False]
