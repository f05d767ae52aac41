"""Programs that print credentials print of ours what we put in, byte for byte.

They are parsers, and what they print is no proof of trust; `test_prints_forgeries_as_well` shows it. The exception is
`arcproxy`, which verifies attribute certificates, though not the chain.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import ProxyKind
from proxy_gen.voms.certificate import AttributeCertificate, GenericAttribute
from tests.acceptance.answers import Answer
from tests.acceptance.cases import CASES, expired_for
from tests.acceptance.printers import Printed, Printers
from tests.acceptance.site import JANE, TOP, Site
from tests.acceptance.voms_cases import ARC, PRINTER, Case, attributes, cases, voms_proxy
from tests.tools.minting import HOUR, delegate, end_entity, write_private

pytestmark = pytest.mark.acceptance

_DN = f"{TOP}/OU=People, here/CN=Jane Doe (jd), =#1"
_FQANS = ["/cms/Role=production", "/cms", "/cms/heavy-ions_1.x/Role=t1-admin", "/cms/heavy-ions_1.x"]
_GENERIC = [
    GenericAttribute("nickname", "jane", "cms"),
    GenericAttribute("e-mail", "Jane Doe <jane@example.org>, =/(x)", "/cms/Role=production"),
]


@pytest.fixture(scope="module")
def printers(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Printers:
    return Printers(tmp_path_factory.mktemp("printers"), site.trust_dir, site.voms_dir)


@pytest.fixture(scope="module")
def holder(site: Site) -> Credential:
    return end_entity(site.ca, _DN)


@pytest.fixture(scope="module")
def certificates(site: Site, holder: Credential) -> list[AttributeCertificate]:
    return [
        attributes(site.cms, holder, *_FQANS, generic=_GENERIC),
        attributes(site.atlas, holder, "/atlas", lifetime=2 * HOUR),
    ]


@pytest.fixture(scope="module")
def proxy(holder: Credential, certificates: list[AttributeCertificate]) -> Credential:
    return voms_proxy(holder, *certificates)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, proxy: Credential) -> Path:
    return write_private(tmp_path_factory.mktemp("printed") / "proxy", proxy.to_pem())


def _expected_names(proxy: Credential) -> list[str]:
    return [DistinguishedName(proxy.leaf.subject).slash, _DN, _DN]


def _names(printed: Printed) -> list[str]:
    return [printed.of_proxy(name) for name in ("subject", "issuer", "identity")]


def _left(clock: str) -> timedelta:
    hours, minutes, seconds = map(int, clock.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _is_about(left: timedelta, end: datetime) -> bool:
    return abs(end - datetime.now(UTC) - left) < timedelta(seconds=10)


def test_voms_proxy_info_prints_the_proxy(printers: Printers, proxy: Credential, file: Path) -> None:
    printed = printers.voms_proxy_info(file)
    assert printed.verdict, printed.verdict
    assert _names(printed) == _expected_names(proxy)
    assert printed.of_proxy("type") == "RFC compliant proxy"
    assert printed.of_proxy("strength") == "2048 bits"
    assert printed.of_proxy("key usage") == "Digital Signature, Key Encipherment"
    assert _is_about(_left(printed.of_proxy("timeleft")), proxy.leaf.not_valid_after_utc)


def test_voms_proxy_info_prints_every_vo(
    printers: Printers, site: Site, certificates: list[AttributeCertificate], file: Path
) -> None:
    printed = printers.voms_proxy_info(file)
    cms = certificates[0]
    assert [vo for vo, _ in printed.vos] == ["cms", "atlas"]
    generic = [f"{each.name} = {each.value} ({each.qualifier})" for each in cms.attributes]
    assert printed.of_vo("cms", "attribute") == [fqan.long for fqan in cms.fqans] + generic
    assert printed.of_vo("atlas", "attribute") == ["/atlas/Role=NULL/Capability=NULL"]
    for ac in certificates:
        assert printed.of_vo(ac.vo, "VO") == [ac.vo]
        assert printed.of_vo(ac.vo, "subject") == [_DN]
        assert printed.of_vo(ac.vo, "issuer") == [ac.issuer.slash] == [f"{TOP}/CN=voms.{ac.vo}.example"]
        assert printed.of_vo(ac.vo, "uri") == [f"voms.{ac.vo}.example:15000"]
        (left,) = printed.of_vo(ac.vo, "timeleft")
        assert _is_about(_left(left), ac.not_after)


@pytest.mark.parametrize("option", ["-fqan", "-vo", "-acsubject", "-acissuer", "-serial", "-uri", "-identity"])
def test_voms_proxy_info_prints_one_thing(
    printers: Printers, certificates: list[AttributeCertificate], file: Path, option: str
) -> None:
    cms, atlas = certificates
    expected = {
        "-fqan": [fqan.long for ac in certificates for fqan in ac.fqans],
        "-vo": ["cms", "atlas"],
        "-acsubject": [_DN, _DN],
        "-acissuer": [cms.issuer.slash, atlas.issuer.slash],
        "-serial": [f"{ac.serial:040X}" for ac in certificates],
        "-uri": ["voms.cms.example:15000", "voms.atlas.example:15000"],
        "-identity": [_DN],
    }
    assert printers.voms(file, option).text.splitlines() == expected[option]


@pytest.mark.parametrize(
    "options,yes",
    [
        pytest.param(["-exists"], True, id="exists"),
        pytest.param(["-exists", "-valid", "0:55"], True, id="valid-0:55"),
        pytest.param(["-exists", "-valid", "1:05"], False, id="valid-1:05"),
        pytest.param(["-exists", "-bits", "2048"], True, id="bits-2048"),
        pytest.param(["-exists", "-bits", "4096"], False, id="bits-4096"),
    ],
)
def test_answers_yes_or_no(printers: Printers, file: Path, options: list[str], *, yes: bool) -> None:
    for verdict in (printers.voms(file, *options), printers.grid(file, *options)):
        assert verdict.ok is yes, verdict


@pytest.mark.parametrize("vo,yes", [("cms", True), ("atlas", True), ("lhcb", False)])
def test_voms_proxy_info_knows_the_vos(printers: Printers, file: Path, vo: str, *, yes: bool) -> None:
    verdict = printers.voms(file, "-acexists", vo)
    assert verdict.ok is yes, verdict


def test_an_expired_proxy_does_not_exist(printers: Printers, site: Site, tmp_path: Path) -> None:
    file = write_private(tmp_path / "proxy", expired_for(2 * HOUR, site))
    assert not printers.voms(file, "-exists")
    assert not printers.grid(file, "-exists")


@pytest.mark.parametrize(
    "kind,grid,arc",
    [
        (ProxyKind.FULL, "impersonation proxy", "impersonation proxy - RFC inheritAll proxy"),
        (ProxyKind.LIMITED, "limited proxy", "restricted proxy"),
        (ProxyKind.INDEPENDENT, "independent proxy", "independent proxy - RFC independent proxy"),
    ],
    ids=["full", "limited", "independent"],
)
def test_prints_the_kind(
    printers: Printers, holder: Credential, tmp_path: Path, kind: ProxyKind, grid: str, arc: str
) -> None:
    proxy = delegate(holder, kind)
    file = write_private(tmp_path / "proxy", proxy.to_pem())
    by_grid, by_arc = printers.grid_proxy_info(file), printers.arcproxy(file)
    subject, issuer, identity = _expected_names(proxy)
    # an independent proxy is somebody else (RFC 3820 section 3.8.2)
    assert _names(by_grid) == [subject, issuer, subject if kind is ProxyKind.INDEPENDENT else identity]
    assert by_grid.of_proxy("type") == f"RFC 3820 compliant {grid}"
    assert by_grid.of_proxy("strength") == "2048 bits"
    assert _is_about(_left(by_grid.of_proxy("timeleft")), proxy.leaf.not_valid_after_utc)
    assert by_arc.of_proxy("Proxy type") == f"X.509 Proxy Certificate Profile RFC compliant {arc}"


def test_arcproxy_prints_proxy_and_attributes(
    printers: Printers, proxy: Credential, certificates: list[AttributeCertificate], file: Path
) -> None:
    printed = printers.arcproxy(file)
    assert printed.verdict, printed.verdict
    assert [printed.of_proxy(name) for name in ("Subject", "Issuer", "Identity")] == _expected_names(proxy)
    assert printed.of_proxy("Proxy key length") == "2048"
    for ac in certificates:
        assert printed.of_vo(ac.vo, "attribute") == [fqan.short for fqan in ac.fqans]
        assert printed.of_vo(ac.vo, "subject") == [_DN]
        assert printed.of_vo(ac.vo, "issuer") == [ac.issuer.slash]
        assert printed.of_vo(ac.vo, "uri") == [f"{ac.host}:{ac.port}"]
    assert printed.of_vo("cms", "tag") == [
        f"/{each.qualifier.lstrip('/')}:{each.name}={each.value}" for each in _GENERIC
    ]


@pytest.mark.parametrize("case,expected", cases(ARC))
def test_arcproxy_takes_the_good_attributes_and_complains_of_the_bad(
    printers: Printers, site: Site, tmp_path: Path, case: Case, expected: Answer
) -> None:
    printed = printers.arcproxy(write_private(tmp_path / "proxy", case.pem(site)))
    taken = printed.verdict.ok and printed.names_group("/cms")
    assert taken is (expected is Answer.TAKEN), printed.verdict


@pytest.mark.parametrize("case,expected", cases(PRINTER))
def test_prints_forgeries_as_well(printers: Printers, site: Site, tmp_path: Path, case: Case, expected: Answer) -> None:
    printed = printers.voms_proxy_info(write_private(tmp_path / "proxy", case.pem(site)))
    assert printed.verdict, printed.verdict
    assert printed.names_group("/cms") is (expected is Answer.TAKEN), printed.verdict


def test_all_print_a_chain_whose_signature_does_not_hold(printers: Printers, site: Site, tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == "signature tampered")
    file = write_private(tmp_path / "proxy", case.pem(site))
    for printed in (printers.voms_proxy_info(file), printers.grid_proxy_info(file)):
        assert printed.verdict
        assert printed.of_proxy("identity") == JANE
    assert printers.arcproxy(file).verdict
