"""Mistakes in what says who signs: authorities, VOs, and the profiles that use them. Each with its line and a hint."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, private_pem
from tests.config.test_mistakes import mistakes, put
from tests.tools.daemons import replace_authority
from tests.tools.minting import DAY, authority, end_entity, key_of, write_private
from ttscache.config.load import load
from ttscache.config.settings import IdTokenProfile, LocalAuthority, LocalVoms, RemoteVoms
from ttscache.sandbox.site import Site

Write = Callable[[object], Path]
Document = dict[str, Any]
CA = authority("/DC=ch/CN=CA")
HOST = end_entity(CA, "/DC=ch/CN=voms.example", KeyKind.RSA_2048)
ELLIPTIC = end_entity(CA, "/DC=ch/CN=voms.example")
EXPIRED = end_entity(CA, "/DC=ch/CN=voms.example", KeyKind.RSA_2048, now=datetime.now(UTC) - 2 * DAY)

OPENBAO = {"kind": "openbao", "url": "https://bao.example", "role": "grid", "token": {"file": "bao-token"}}
ROBOT = {"kind": "robot", "cert": "host.pem", "key": "host.key", "ca_file": "ca.pem"}
MANAGED = {"kind": "iam-proxycert", "ca_file": "ca.pem"}
LOCAL_VOMS = {"kind": "local", "host": "voms.example", "cert": "host.pem", "key": "host.key"}
REMOTE_VOMS = {"kind": "remote", "url": "https://voms.example", "lsc": "voms.lsc", "ca_file": "ca.pem"}
IDTOKEN = {"type": "condor-idtoken", "trust_domain": "pool.example", "key_id": "site", "key": {"file": "pool.key"}}
RELAYED = {"type": "condor-idtoken", "source": {"file": "pool.token"}}


@pytest.fixture
def furnished(site: Site, document: Document) -> Document:
    """A site with the files that the settings above name, and a configuration without a VO."""
    directory = site.directory
    for name, credential in {"host": HOST, "elliptic": ELLIPTIC, "expired": EXPIRED}.items():
        (directory / f"{name}.pem").write_bytes(credential.leaf.public_bytes(Encoding.PEM))
        write_private(directory / f"{name}.key", private_pem(key_of(credential)))
    (directory / "ca.pem").write_bytes(CA.certificate_pem())
    (directory / "voms.lsc").write_text("/DC=ch/CN=voms.example\n/DC=ch/CN=CA\n")
    (directory / "half.lsc").write_text("/DC=ch/CN=voms.example\n")
    for name in ("bao-token", "pool.key", "pool.token"):
        write_private(directory / name, b"something")
    locked = BestAvailableEncryption(b"x")
    write_private(directory / "locked.key", key_of(HOST).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    write_private(directory / "open.key", private_pem(key_of(HOST)), mode=0o644)
    write_private(directory / "empty", b"")
    write_private(directory / "chain.pem", Credential((HOST.leaf, CA.certificate)).to_pem())
    replace_authority(document, document["authority"])
    return document


def under(document: Document, kind: Mapping[str, object]) -> Document:
    """Put an authority in, and make the rules fit it."""
    replace_authority(document, kind)
    for rule in document["mapping"]:
        if kind["kind"] in {"robot", "iam-proxycert"}:
            rule.pop("dn", None)
        rule["shared"] = kind["kind"] == "robot"
    if kind["kind"] == "iam-proxycert":
        document["issuers"][0]["exchange"]["scopes"].append("proxy:generate")
    return document


def told_at(path: Path, place: str, told: str) -> None:
    """Hold that a mistake names the place, with its line, and says so."""
    found = [mistake for mistake in mistakes(path) if f": {place}: " in mistake]
    assert any(told in mistake for mistake in found), mistakes(path)
    line = int(found[0].removeprefix(f"{path}:").split(":")[0])
    last = place.rpartition(".")[2]
    assert "[" in last or last in path.read_text().splitlines()[line - 1], found


@pytest.mark.parametrize("kind", [OPENBAO, ROBOT, MANAGED], ids=lambda kind: kind["kind"])
def test_good_authorities(write: Write, furnished: Document, kind: dict[str, object]) -> None:
    assert not isinstance(load(write(under(furnished, kind))).authority, LocalAuthority)


@pytest.mark.parametrize(
    "kind, change, place, told",
    [
        (OPENBAO, {"kind": "vault"}, "authority.kind", "openbao"),
        (OPENBAO, {"url": "http://bao.example"}, "authority.url", "https"),
        (OPENBAO, {"url": "https://u:p@bao.example"}, "authority.url", "user name"),
        (OPENBAO, {"mount": "/pki"}, "authority.mount", "must match"),
        (OPENBAO, {"mount": "pki/../sys"}, "authority.mount", "elsewhere"),
        (OPENBAO, {"role": "a/b"}, "authority.role", "must match"),
        (OPENBAO, {"role": ".."}, "authority.role", "elsewhere"),
        (OPENBAO, {"roel": "x"}, "authority.roel", "did you mean 'role'?"),
        (OPENBAO, {"token": {"file": "absent"}}, "authority.token", "cannot be read"),
        (OPENBAO, {"token": {"file": "open.key"}}, "authority.token", "chmod 600"),
        (OPENBAO, {"token": {"env": "NOT_SET_ANYWHERE"}}, "authority.token", "not set"),
        (OPENBAO, {"ca_file": "absent"}, "authority.ca_file", "CA certificates"),
        (OPENBAO, {"dir": "ca"}, "authority.dir", "unknown key"),
        (ROBOT, {"cert": "absent"}, "authority", "absent cannot be read"),
        (ROBOT, {"cert": "host.key"}, "authority", "certificates in PEM"),
        (ROBOT, {"key": "absent"}, "authority", "cannot be read"),
        (ROBOT, {"key": "open.key"}, "authority", "chmod 600"),
        (ROBOT, {"key": "locked.key"}, "authority", "encrypted"),
        (ROBOT, {"key": "elliptic.key"}, "authority", "not the key of"),
        (ROBOT, {"key": "pool.key"}, "authority", "key"),
        (ROBOT, {"ca_file": "absent"}, "authority.ca_file", "cannot be read"),
        (ROBOT, {"ca_file": "pool.key"}, "authority.ca_file", "PEM"),
        (ROBOT, {"ca_file": "host.pem"}, "authority.ca_file", "CA"),
        (MANAGED, {"ca_file": "host.pem"}, "authority.ca_file", "CA"),
        (MANAGED, {"ca_file": "pool.key"}, "authority.ca_file", "PEM"),
    ],
)
def test_an_authority_that_cannot_be(
    write: Write,
    furnished: Document,
    kind: dict[str, object],
    change: dict[str, object],
    place: str,
    told: str,
) -> None:
    changed = under(furnished, kind)
    changed["authority"] = {**kind, **change}
    told_at(write(changed), place, told)


@pytest.mark.parametrize(
    "kind, missing", [(kind, name) for kind in (OPENBAO, ROBOT, MANAGED) for name in kind if name != "kind"]
)
def test_what_an_authority_needs(write: Write, furnished: Document, kind: dict[str, object], missing: str) -> None:
    changed = under(furnished, kind)
    del changed["authority"][missing]
    told_at(write(changed), "authority", f"the key '{missing}' is missing")


def test_what_rules_have_under_which_authority(write: Write, furnished: Document) -> None:
    robot = under(furnished, ROBOT)
    robot["mapping"][0]["dn"] = "/DC=ch/CN={sub}"
    told_at(write(robot), "mapping[0].dn", "leave it out")
    del robot["mapping"][0]["dn"]
    robot["mapping"][1]["shared"] = False
    told_at(write(robot), "mapping[1]", "`shared: true`")
    managed = under(furnished, MANAGED)
    managed["issuers"][0]["exchange"]["scopes"].remove("proxy:generate")
    told_at(write(managed), "issuers[0]", "proxy:generate")
    told_at(write(under(furnished, OPENBAO)), "mapping[0]", "the key 'dn' is missing")


def with_voms(document: Document, voms: Mapping[str, object], granted: str = "/cms") -> Document:
    document["voms"] = {"cms": dict(voms)}
    document["profiles"]["pilot"]["voms"] = "cms"
    for rule in document["mapping"]:
        rule["fqans"] = [granted]
    return document


def test_good_vos(write: Write, furnished: Document) -> None:
    assert isinstance(load(write(with_voms(furnished, LOCAL_VOMS))).voms["cms"], LocalVoms)
    assert isinstance(load(write(with_voms(furnished, REMOTE_VOMS))).voms["cms"], RemoteVoms)
    assert load(write(with_voms(furnished, {"kind": "local", "host": "voms.example"}))).voms["cms"].vo == "cms"


@pytest.mark.parametrize(
    "kind, change, place, told",
    [
        (LOCAL_VOMS, {"kind": "far"}, "voms.cms.kind", "remote"),
        (LOCAL_VOMS, {"host": "a b"}, "voms.cms", "vo://host:port"),
        (LOCAL_VOMS, {"host": "a/b"}, "voms.cms", "vo://host:port"),
        (LOCAL_VOMS, {"host": "*"}, "voms.cms", "vo://host:port"),
        (LOCAL_VOMS, {"host": ""}, "voms.cms", "vo://host:port"),
        (LOCAL_VOMS, {"port": 0}, "voms.cms.port", "1"),
        (LOCAL_VOMS, {"port": 65536}, "voms.cms.port", "65535"),
        (LOCAL_VOMS, {"port": "x"}, "voms.cms.port", "whole number"),
        (LOCAL_VOMS, {"vo": "c m s"}, "voms.cms.vo", "must match"),
        (LOCAL_VOMS, {"vo": ".."}, "voms.cms.vo", "no VO's name"),
        (REMOTE_VOMS, {"vo": ".."}, "voms.cms.vo", "no VO's name"),
        (LOCAL_VOMS, {"lifetime": "10s"}, "voms.cms.lifetime", "at least 60s"),
        (LOCAL_VOMS, {"cert": "elliptic.pem", "key": "elliptic.key"}, "voms.cms", "RSA"),
        (LOCAL_VOMS, {"key": "elliptic.key"}, "voms.cms", "not the key of"),
        (LOCAL_VOMS, {"cert": "ca.pem"}, "voms.cms", "key"),
        (LOCAL_VOMS, {"key": "open.key"}, "voms.cms", "chmod 600"),
        (REMOTE_VOMS, {"url": "http://voms.example"}, "voms.cms.url", "https"),
        (REMOTE_VOMS, {"lsc": "absent"}, "voms.cms.lsc", "cannot be read"),
        (REMOTE_VOMS, {"lsc": "half.lsc"}, "voms.cms.lsc", "a line each"),
        (REMOTE_VOMS, {"lsc": "empty"}, "voms.cms.lsc", "a line each"),
        (REMOTE_VOMS, {"lsc": "ca.pem"}, "voms.cms.lsc", "a line each"),
        (REMOTE_VOMS, {"ca_file": "absent"}, "voms.cms.ca_file", "cannot be read"),
        (REMOTE_VOMS, {"ca_file": "voms.lsc"}, "voms.cms.ca_file", "PEM"),
        (REMOTE_VOMS, {"port": 1}, "voms.cms.port", "unknown key"),
    ],
)
def test_a_vo_that_cannot_be(
    write: Write,
    furnished: Document,
    kind: dict[str, object],
    change: dict[str, object],
    place: str,
    told: str,
) -> None:
    told_at(write(with_voms(furnished, {**kind, **change})), place, told)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "*", "it's", "12", "x" * 65, "v\u00e9ms.example", "proxy"])
def test_a_host_that_the_local_ca_would_not_certify(write: Write, furnished: Document, host: str) -> None:
    told_at(write(with_voms(furnished, {"kind": "local", "host": host})), "voms.cms.host", "")


def test_vos_and_what_uses_them(write: Write, furnished: Document) -> None:
    half = with_voms(furnished, {"kind": "local", "host": "voms.example", "cert": "host.pem"})
    told_at(write(half), "voms.cms", "go together")
    odd = with_voms(furnished, LOCAL_VOMS)
    odd["voms"]["../cms"] = odd["voms"]["cms"]
    told_at(write(odd), "voms.../cms", "no VO's name")
    del odd["voms"]["../cms"]
    unknown = with_voms(furnished, LOCAL_VOMS)
    unknown["profiles"]["pilot"]["voms"] = ["cms", "atlas"]
    told_at(write(unknown), "profiles.pilot.voms", "no 'atlas' under `voms`")
    told_at(write(with_voms(furnished, LOCAL_VOMS, "/atlas")), "mapping[0].profiles[0]", "of which `fqans` has none")
    elsewhere = with_voms(under(furnished, OPENBAO), {"kind": "local", "host": "voms.example"})
    told_at(write(elsewhere), "voms.cms", "needs `cert` and `key`")


def test_a_certificate_that_has_expired_is_told_by_the_daemon(write: Write, furnished: Document) -> None:
    settings = load(write(with_voms(furnished, {**LOCAL_VOMS, "cert": "expired.pem", "key": "expired.key"})))
    assert settings.voms["cms"].vo == "cms"


@pytest.mark.parametrize("profile", [IDTOKEN, RELAYED], ids=["signed", "relayed"])
def test_good_idtoken_profiles(write: Write, furnished: Document, profile: dict[str, object]) -> None:
    put(furnished, "profiles.condor", profile)
    assert isinstance(load(write(furnished)).profiles["condor"], IdTokenProfile)


@pytest.mark.parametrize(
    "profile, change, place, told",
    [
        (IDTOKEN, {"trust_domain": "a b"}, "profiles.condor.trust_domain", "trust domain"),
        (IDTOKEN, {"trust_domain": ""}, "profiles.condor.trust_domain", "trust domain"),
        (IDTOKEN, {"key_id": "POOL"}, "profiles.condor.key_id", "allow_pool_key"),
        (IDTOKEN, {"key_id": "../x"}, "profiles.condor.key_id", "key"),
        (IDTOKEN, {"key": {"file": "absent"}}, "profiles.condor.key", "cannot be read"),
        (IDTOKEN, {"key": {"file": "open.key"}}, "profiles.condor.key", "chmod 600"),
        (IDTOKEN, {"key": {"file": "empty"}}, "profiles.condor.key", "empty"),
        (IDTOKEN, {"key": {"env": "X"}}, "profiles.condor.key.env", "unknown key"),
        (IDTOKEN, {"scopes": []}, "profiles.condor.scopes", ""),
        (IDTOKEN, {"scopes": ["condor:/ALL"]}, "profiles.condor.scopes", ""),
        (IDTOKEN, {"scopes": ["storage.read:/"]}, "profiles.condor.scopes", ""),
        (IDTOKEN, {"user": "{"}, "profiles.condor.user", "partner"),
        (IDTOKEN, {"user": "a b"}, "profiles.condor.user", "user"),
        (IDTOKEN, {"lifetime": "48h"}, "profiles.condor", "min_lifetime <= lifetime"),
        (IDTOKEN, {"source": {"file": "pool.token"}}, "profiles.condor.key_id", "`source`"),
        (RELAYED, {"source": {"file": "absent"}}, "profiles.condor.source", "cannot be read"),
        (RELAYED, {"source": {"file": "open.key"}}, "profiles.condor.source", "chmod 600"),
        (RELAYED, {"source": {"env": "X"}}, "profiles.condor.source.env", "unknown key"),
        ({"type": "condor-idtoken"}, {}, "profiles.condor", "`source`"),
        (IDTOKEN, {"limited": True}, "profiles.condor.limited", "unknown key"),
    ],
)
def test_an_idtoken_profile_that_cannot_be(
    write: Write,
    furnished: Document,
    profile: dict[str, object],
    change: dict[str, object],
    place: str,
    told: str,
) -> None:
    put(furnished, "profiles.condor", {**profile, **change})
    told_at(write(furnished), place, told)
