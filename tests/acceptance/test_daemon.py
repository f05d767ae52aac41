"""The whole way, with nothing of ours but the daemon: another's authorization server, the consumers' own software."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.authgent import Authgent, claims
from tests.acceptance.daemon import AUDIENCE, SCOPES, Daemon
from tests.acceptance.globus import Globus
from tests.acceptance.site import JANE, STRANGER, Site
from tests.acceptance.xrootd import UNMAPPED_GSI, UNMAPPED_HTTPS, XRootD
from tests.tools import openssl

pytestmark = pytest.mark.acceptance

EXIT_REFUSED = 3


@pytest.fixture
def token_of(authgent: Authgent) -> Callable[..., str]:
    def make(name: str, *, groups: tuple[str, ...] = ("/cms",), audience: str = AUDIENCE) -> str:
        scope = " ".join(SCOPES)
        claimed = {"sub": f"id-of-{name}", "preferred_username": name, "wlcg.groups": list(groups)}
        return authgent.subject_token(authgent.person(scope=scope, **claimed), scope=scope, audience=audience)

    return make


def test_token_in_proxy_out_that_everybody_takes(
    daemon: Daemon, token_of: Callable[..., str], site: Site, globus: Globus, xrootd: XRootD, tmp_path: Path
) -> None:
    proxy = tmp_path / "proxy.pem"
    assert daemon.exchange(token_of("jane"), proxy)
    for strict in (False, True):
        assert openssl.verify(proxy.read_bytes(), site.trust_dir, strict=strict)
    verdict = globus.authenticates(proxy)
    assert verdict
    assert verdict.dn == JANE
    for read in (xrootd.gsi_read, xrootd.https_read):
        own, foreign = read(proxy, "/data/jane/file"), read(proxy, "/data/joe/file")
        assert "for jane alone" in own.text
        assert not foreign


def test_name_that_storage_does_not_map_is_refused_there(
    daemon: Daemon, token_of: Callable[..., str], xrootd: XRootD, tmp_path: Path
) -> None:
    proxy = tmp_path / "proxy.pem"
    assert daemon.exchange(token_of("stranger"), proxy)
    for verdict, reason in [(xrootd.gsi_read(proxy), UNMAPPED_GSI), (xrootd.https_read(proxy), UNMAPPED_HTTPS)]:
        assert not verdict
        assert reason in verdict.text
        assert STRANGER in verdict.text


@pytest.mark.parametrize("option", ["--limited", "--server-key"])
def test_other_shapes_of_proxy_are_taken_too(
    daemon: Daemon, token_of: Callable[..., str], site: Site, globus: Globus, tmp_path: Path, option: str
) -> None:
    proxy = tmp_path / "proxy.pem"
    assert daemon.exchange(token_of("jane"), proxy, option)
    assert openssl.verify(proxy.read_bytes(), site.trust_dir, strict=True)
    assert globus.authenticates(proxy).dn == JANE


def test_proxy_ends_with_a_session_that_has_no_refresh_token(
    daemon: Daemon, token_of: Callable[..., str], tmp_path: Path
) -> None:
    """This server's exchanged tokens live for five minutes, and its `"refresh_token": null` is none."""
    verdict = daemon.exchange(token_of("jane"), tmp_path / "proxy.pem", "--lifetime", "12h", "--output", "json")
    assert verdict
    assert '"session"' in verdict.text


@pytest.mark.parametrize(
    "change,code",
    [
        ({"groups": ("/atlas",)}, "mapping_refused"),
        ({"audience": "https://elsewhere.test"}, "audience_mismatch"),
    ],
)
def test_refusals_say_why_and_write_nothing(
    daemon: Daemon, token_of: Callable[..., str], tmp_path: Path, change: dict[str, object], code: str
) -> None:
    out = tmp_path / "proxy.pem"
    verdict = daemon.exchange(token_of("joe", **change), out)
    assert not verdict
    assert f"ttscache: {code}: " in verdict.text
    assert not out.exists()


def test_token_that_the_issuer_has_revoked_opens_no_session(daemon: Daemon, authgent: Authgent, tmp_path: Path) -> None:
    scope = " ".join(SCOPES)
    joe = authgent.person(scope=scope, sub="id-of-joe-gone", preferred_username="gone", **{"wlcg.groups": ["/cms"]})
    token = authgent.subject_token(joe, scope=scope, audience=AUDIENCE)
    assert claims(token)["sub"] == "id-of-joe-gone"
    authgent.revoke(joe, token)
    verdict = daemon.exchange(token, tmp_path / "proxy.pem")
    assert not verdict
    assert "ttscache: exchange_refused: " in verdict.text
    assert token not in verdict.text
