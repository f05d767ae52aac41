"""The self check finds files that say other than the rules do."""

from __future__ import annotations

import json

import pytest

from tests.mapping.people import rule
from ttscache.mapping.export_check import faults
from ttscache.mapping.export_names import KnownName
from ttscache.mapping.exports import Export, Format, Source, export

O = "/DC=ch/O=site.org"  # noqa: E741 - an organisation
RULES = (
    rule("robot", O + "/CN=robot (x)", "robot1", {"sub": ("r1",)}, fqans=("/cms/Role=robot", "/cms")),
    rule("users", O + "/CN={preferred_username}/CN=u-{sub}", "{preferred_username}"),
    rule(
        "store",
        O + "/OU=s/CN=store",
        "store",
        {"groups": ("/cms",)},
        fqans=("/cms/s",),
        scopes=("storage.read:/store",),
    ),
)
SOURCE = Source(RULES, (KnownName(O + "/CN=jane/CN=u-1", "jane", "users"),), "cms")


def found(form: Format, old: str, new: str) -> list[str]:
    good = export(form, SOURCE)
    assert faults(form, SOURCE, good) == []
    assert old in good.text
    return faults(form, SOURCE, Export(good.text.replace(old, new), good.left_out))


@pytest.mark.parametrize("form", [Format.CONDOR, Format.CONDOR_HASH, Format.CONDOR_GSI], ids=lambda form: form.value)
@pytest.mark.parametrize(
    "old, new",
    [("^", ""), ("\\.", "."), (r"\(x\)", "(x)"), ("{1,", "{2,"), ("[\\-\\.0-9", "[\\/\\-\\.0-9"),
     ("\\1", "jane"), ("robot1", "robot2"),
     ("(?!root(?=\\/|$))", ""), (r"(?![0-9]+(?=\/|$))", ""), ("(?=[A-Za-z0-9\\_])", "")],
    ids=["not anchored at the start", "a dot not escaped", "parentheses not escaped", "too short", "a slash in a claim",
         "everybody is jane", "another account", "root", "digits", "a dash first"],
)  # fmt: skip
def test_wrong_condor_files(form: Format, old: str, new: str) -> None:
    assert found(form, old, new)


@pytest.mark.parametrize("form", [Format.CONDOR, Format.CONDOR_GSI], ids=lambda form: form.value)
def test_a_condor_file_that_is_not_anchored_at_the_end(form: Format) -> None:
    assert found(form, '$" ', '" ')


@pytest.mark.parametrize(
    "form, old, new",
    [
        (Format.CONDOR, "SSL", "GSI"),
        (Format.CONDOR, "SSL", "SSL("),
        (Format.GRIDMAP, "robot1", "robot2"),
        (Format.GRIDMAP, '(x)" ', '(x)x" '),
        (Format.LCMAPS, "jane/CN", "joe/CN"),
        (Format.LCMAPS, '" robot1', '"  robot1'),
        (Format.LCMAPS_GROUP, "robot1", "store"),
        (Format.LCMAPS_GROUP, "/cms/Role=robot", "/cms/Role=robots"),
        (Format.XROOTD_VOMS, '"/cms/Role=NULL', '"/cms/Role=robotx'),
        (Format.XROOTD_VOMS, "store", "robot1"),
        (Format.XROOTD_AUTHDB, "/store/ ", "/store "),
        (Format.XROOTD_AUTHDB, "lr", "lrw"),
        (Format.XROOTD_AUTHDB, "lr", "l"),
        (Format.XROOTD_AUTHDB, "u store", "u robot1"),
        (Format.XROOTD_SCITOKENS, '"r1"', '"r1x"'),
        (Format.XROOTD_SCITOKENS, '"sub": "r1",', ""),
        (Format.XROOTD_SCITOKENS, "[", ""),
    ],
)
def test_wrong_files(form: Format, old: str, new: str) -> None:
    assert found(form, old, new)


def test_a_file_with_more_than_the_rules_say() -> None:
    for form, more in (
        (Format.CONDOR, 'SSL ".*" nobody\n'),
        (Format.GRIDMAP, f'"{O}/CN=robot (x)/CN=proxy" robot1\n'),
        (Format.XROOTD_AUTHDB, "u robot1 / a\n"),
        (Format.XROOTD_VOMS, '"/cmsx/Role=NULL/Capability=NULL" store\n'),
    ):
        good = export(form, SOURCE)
        assert faults(form, SOURCE, Export(good.text + more, good.left_out)), form
    good = export(Format.XROOTD_SCITOKENS, SOURCE)
    more = json.dumps([*json.loads(good.text), {"result": "store"}])
    assert faults(Format.XROOTD_SCITOKENS, SOURCE, Export(more, good.left_out))


def test_a_file_that_lacks_a_rule() -> None:
    for form in Format:
        assert faults(form, SOURCE, Export("[]" if form is Format.XROOTD_SCITOKENS else "", ())), form
