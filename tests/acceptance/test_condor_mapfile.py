"""HTCondor's own parser reads what is exported, in its two modes and in the form from before 9.3."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from proxy_gen.mapfiles import condor
from proxy_gen.mapfiles.patterns import Account, Hole, NamePattern
from tests.acceptance.shims import build
from tests.mapping.people import rule
from tests.tools.programs import PATIENCE, environment
from ttscache.mapping.export_check import examples, near_misses
from ttscache.mapping.export_names import condor_entries
from ttscache.mapping.rules import Rule

pytestmark = pytest.mark.acceptance

FORMS = sorted(condor.Form, key=lambda form: form.value)
MapNames = Callable[[str, condor.Form, Sequence[str]], list[str | None]]

TOP = "/DC=ch/DC=example.org/O=site"
RULES = (
    rule("literal", TOP + "/OU=robots/CN=Robot (x) 'y' [z]* a.b$ ^|?&#@!~%", account="robot"),
    rule("quoted", TOP + '/OU=robots/CN=Say "yes", <x>; y=z', account="quoted"),
    rule("user", TOP + "/CN={preferred_username}/CN=u-{sub}", account="{preferred_username}"),
    rule("prefixed", TOP + "/OU=p/CN={name} {sub}", account="cms-{sub}1"),
    rule("several", TOP + "/OU=s/CN={sub}/UID={sub}", account="{sub}"),
    rule("fixed", TOP + "/OU=f/CN={name}", account="fixed"),
    rule("country", "/C={country}/O=x/emailAddress={mail}", account="mail"),
    rule("one of two", TOP + "/OU=o/CN={sub}", account="o-{sub}", when={"sub": ("ab", "c.d")}),
)  # fmt: skip


@pytest.fixture(scope="session")
def condor_mapfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("condor_mapfile.cpp", tmp_path_factory.mktemp("condor"))


@pytest.fixture
def mapped(condor_mapfile: Path, tmp_path: Path) -> MapNames:
    """Map names by HTCondor's own means."""

    def run(text: str, form: condor.Form, names: Sequence[str]) -> list[str | None]:
        file = tmp_path / "mapfile"
        file.write_text(text)
        method = "GSI" if form is condor.Form.GSI else "SSL"
        done = subprocess.run(
            [condor_mapfile, file, "hash" if form is condor.Form.HASH else "regex"],
            input="".join(f"{method}\t{name}\n" for name in names),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        answers = done.stdout.splitlines()
        assert len(answers) == len(names)
        return [answer or None for answer in answers]

    return run


def _names(rules: Sequence[Rule]) -> dict[str, str]:
    return {d.dn: d.account for each in rules for _, d in examples(each) if d.dn and d.account}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.value)
def test_each_name_has_its_account(mapped: MapNames, form: condor.Form) -> None:
    entries, left_out = condor_entries(RULES)
    assert left_out == []
    names = _names(RULES)
    assert len(names) > 80
    assert mapped(condor.write(entries, form), form, list(names)) == list(names.values())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.value)
def test_what_is_nearly_a_name_has_none_or_its_own(mapped: MapNames, form: condor.Form) -> None:
    entries, _ = condor_entries(RULES)
    near = sorted({miss for name in _names(RULES) for miss in near_misses(name)})
    for name, account in zip(near, mapped(condor.write(entries, form), form, near), strict=True):
        own = [entry.account.of(claims) for entry in entries for claims in entry.pattern.bindings(name)]
        assert account is None or account in own, name
    # and most are nobody's
    assert sum(account is None for account in mapped(condor.write(entries, form), form, near)) > len(near) // 2


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.value)
def test_our_reader_reads_as_htcondor_does(mapped: MapNames, form: condor.Form) -> None:
    text = condor.write(condor_entries(RULES)[0], form)
    text += 'SSL plain plain\nGSI plain plain\nSSL "half /anchored/" x\\0\\1\\9\nGSI "half" \\0\n'
    text += "SSL /a\\/b\\\\.c/ slash\nSSL /(x+)(y)?/ \\1-\\2\n# comment\n\nssl /CN=low low\n"
    names = [*_names(RULES), *(miss for name in _names(RULES) for miss in near_misses(name))]
    names += [
        "plain",
        "plainer",
        "half /anchored/",
        "half",
        "a/b.c",
        "a/bxc",
        "xx",
        "xxy",
        "/CN=low",
        "CN=low",
        "/a/b.c/",
    ]
    reader = condor.Reader(text, assume_hash=form is condor.Form.HASH)
    method = "GSI" if form is condor.Form.GSI else "SSL"
    assert mapped(text, form, names) == [reader.map(method, name) for name in names]


def test_the_form_of_one_mode_is_none_in_the_other(mapped: MapNames) -> None:
    entries, _ = condor_entries(RULES)
    names = list(_names(RULES))
    for written, read in ((condor.Form.REGEX, condor.Form.HASH), (condor.Form.HASH, condor.Form.REGEX)):
        assert set(mapped(condor.write(entries, written), read, names)) == {None}


def test_htcondor_s_patterns_are_not_anchored_by_themselves(mapped: MapNames) -> None:
    text = 'SSL "/CN=jane" jane\n'
    assert mapped(text, condor.Form.REGEX, ["/CN=jane", "/O=other/CN=janet"]) == ["jane", "jane"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.value)
def test_the_longest_line_that_is_written_is_read(mapped: MapNames, form: condor.Form) -> None:
    # letters are what PCRE needs most room for
    all_but = [f"/CN={index % 10}{index // 10:03}{'x' * 50}" for index in range(700)]
    entries = [
        condor.Entry(
            NamePattern.of(("/CN=", Hole("n", frozenset("jx0123456789")))), Account("all"), frozenset(all_but[:count])
        )
        for count in range(1, 701)
    ]
    longest = next(entry for entry in reversed(entries) if condor.refusal(entry) is None)
    after = condor.Entry(NamePattern.of(("/CN=after",)), Account("after"))
    names = ["/CN=j", max(longest.excluded), "/CN=after"]
    assert len(condor.line(longest, form)) > 15_000
    assert mapped(condor.write([longest, after], form), form, names) == ["all", None, "after"]
    # and of one that is far longer, HTCondor says nothing, and maps nobody
    assert mapped(condor.write([entries[-1], after], form), form, names) == [None, None, "after"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.value)
@pytest.mark.parametrize("excluded", [{"a"}, {"a", "ab"}, {"a", "b.c"}], ids=["one", "one begins another", "two"])
def test_excluded_names_are_nobody_s(mapped: MapNames, form: condor.Form, excluded: set[str]) -> None:
    letters = Hole("n", frozenset("abc."))
    entry = condor.Entry(
        NamePattern.of(("/CN=", letters)), Account("all"), frozenset(f"/CN={name}" for name in excluded)
    )
    names = ["a", "ab", "abc", "b.c", "bac", "c"]
    answers = mapped(condor.write([entry], form), form, [f"/CN={name}" for name in names])
    assert answers == [None if name in excluded else "all" for name in names]
