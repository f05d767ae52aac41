"""XRootD over the files that are exported from mapping rules: everybody has what his rule gives, and nothing else."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.acceptance.site import JOE, STRANGER, TOP, Site
from tests.acceptance.voms_cases import attributes, voms_proxy
from tests.acceptance.xrootd import XRootD
from tests.acceptance.xrootd_mapped import Issuer, Maps, mapped_storage
from tests.tools.minting import end_entity, write_private
from tests.tools.programs import Verdict
from ttscache.mapping.exports import Format, Source, export
from ttscache.mapping.rules import Rule, When
from ttscache.mapping.template import Template

pytestmark = pytest.mark.acceptance

ODD = f"{TOP}/OU=People/CN=Jane Doe (jd), =#1"
_ISSUER, _AUDIENCE = "https://iam.example/", "https://xrootd.example"
_ROOMS = ("store", "store2", "production", "members")


def _rule(name: str, when: When, dn: str, account: str, room: str, *fqans: str) -> Rule:
    scopes = (f"storage.read:/data/{room}",)
    return Rule(name, when, Template.parse(dn), Template.parse(account), fqans, scopes, ("pilot",), shared=False)


_RULES = (
    _rule("jane", When(sub=("a1",)), ODD, "jane", "store"),
    _rule("joe", When(sub=("a2",)), JOE, "joe", "store2"),
    _rule(
        "production",
        When(groups=("/cms/production",)),
        f"{TOP}/CN=production",
        "cmsprod",
        "production",
        "/cms/Role=production",
        "/cms/production",
        "/cms",
    ),
    _rule("members", When(groups=("/cms",)), f"{TOP}/CN=members", "cmsuser", "members", "/cms/Role=member", "/cms"),
)


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def storage(site: Site, key: ec.EllipticCurvePrivateKey) -> Iterator[XRootD]:
    forms = (Format.GRIDMAP, Format.XROOTD_VOMS, Format.XROOTD_AUTHDB, Format.XROOTD_SCITOKENS)
    written = [export(form, Source(_RULES, issuer="cms")) for form in forms]
    assert [{left.rule for left in each.left_out} for each in written] == [
        set(),
        {"production", "members"},
        set(),
        set(),
    ]
    public = json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": "1", "alg": "ES256", "use": "sig"}
    with mapped_storage(
        site.trust_dir,
        site.voms_dir,
        site.host,
        maps=Maps(*(each.text for each in written)),
        issuer=Issuer(_ISSUER, _AUDIENCE, {"keys": [public]}),
        files={f"{room}/file": f"for {room}" for room in _ROOMS},
    ) as server:
        yield server


def _opened(read: Callable[[str], Verdict]) -> list[str]:
    """Return the rooms whose files can be read."""
    return [room for room in _ROOMS if read(f"/data/{room}/file")]


def _proxy(site: Site, directory: Path, dn: str, *fqans: str) -> Path:
    person = end_entity(site.ca, dn)
    given = [attributes(site.cms, person, *fqans)] if fqans else []
    return write_private(directory / "proxy", voms_proxy(person, *given).to_pem())


@pytest.mark.parametrize(
    "dn,fqans,rooms",
    [
        (ODD, [], ["store"]),  # and not /data/store2
        (JOE, [], ["store2"]),
        (f"{ODD}0", [], []),
        (ODD.removesuffix(", =#1"), [], []),
        (STRANGER, ["/cms/Role=production", "/cms"], ["production"]),
        # whoever asks chooses the order: what two rules grant is nobody's, in any place
        (STRANGER, ["/cms", "/cms/Role=production"], ["production"]),
        (STRANGER, ["/cms/production", "/cms/Role=production"], ["production"]),
        (STRANGER, ["/cms/production"], ["production"]),
        (STRANGER, ["/cms", "/cms/Role=member"], ["members"]),
        (STRANGER, ["/cms"], []),
        (STRANGER, ["/cms/Role=pilot"], []),
        (STRANGER, ["/cms/heavy"], []),
        # a name that is mapped has its own account, whatever its attributes
        (ODD, ["/cms/Role=production", "/cms"], ["store"]),
    ],
    ids=[
        "odd name", "name", "name goes on", "name cut", "role", "vo first", "group first", "group", "other role last",
        "vo", "other role", "other group", "name and role"
    ],
)  # fmt: skip
def test_proxies(storage: XRootD, site: Site, tmp_path: Path, dn: str, fqans: list[str], rooms: list[str]) -> None:
    proxy = _proxy(site, tmp_path, dn, *fqans)
    assert _opened(lambda path: storage.https_read(proxy, path)) == rooms, storage.server.output()


@pytest.mark.parametrize(
    "dn,fqans,account",
    [(ODD, [], "jane"), (STRANGER, ["/cms/Role=production", "/cms"], "cmsprod")],
    ids=["odd name", "role"],
)
def test_gsi(storage: XRootD, site: Site, tmp_path: Path, dn: str, fqans: list[str], account: str) -> None:
    since = storage.server.position()
    verdict = storage.gsi_read(_proxy(site, tmp_path, dn, *fqans), "/data/store2/file")
    assert not verdict
    assert storage.logins(since) == [account], verdict


@pytest.mark.parametrize(
    "claims,rooms",
    [
        ({"sub": "a1"}, ["store"]),
        ({"sub": "a1", "wlcg.groups": ["/cms/production"]}, ["store"]),  # the first rule that fits
        ({"sub": "a10"}, []),
        ({"wlcg.groups": ["/cms", "/cms/production"]}, ["production"]),
        ({"wlcg.groups": ["cms/production"]}, ["production"]),
        ({"wlcg.groups": ["/cms"]}, ["members"]),
        ({"wlcg.groups": ["/cms/production/more", "/atlas"]}, []),
        ({"sub": "a1", "exp": 1}, []),
        ({"sub": "a1", "aud": "https://elsewhere.example"}, []),
        ({"sub": "a1", "iss": "https://iam.elsewhere.example/"}, []),
    ],
    ids=[
        "sub", "sub and group", "other sub", "group", "no slash", "vo", "other groups", "expired", "audience", "issuer"
    ],
)  # fmt: skip
def test_tokens(storage: XRootD, key: ec.EllipticCurvePrivateKey, claims: dict[str, object], rooms: list[str]) -> None:
    now = int(time.time())
    always = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "somebody", "iat": now, "nbf": now, "exp": now + 600}
    token = jwt.encode(
        always | {"wlcg.ver": "1.0", "scope": "openid", "jti": "1"} | claims, key, "ES256", headers={"kid": "1"}
    )
    assert _opened(lambda path: storage.token_read(token, path)) == rooms, storage.server.output()
