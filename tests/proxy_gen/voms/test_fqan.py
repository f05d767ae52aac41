"""FQANs: two textual forms of one thing, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.errors import FqanRefusedError, ProxyGenError
from proxy_gen.voms.fqan import MAX_FQAN_LENGTH, Fqan
from tests.proxy_gen.voms.strategies import FQANS

# what the long form adds to a group
NULLS = "/Role=NULL/Capability=NULL"


def refused(text: str) -> None:
    with pytest.raises(FqanRefusedError) as error:
        Fqan.parse(text)
    assert error.value.code == "fqan_malformed"
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "text, group, role",
    [
        ("/cms", "/cms", None),
        ("/cms/Role=NULL", "/cms", None),
        ("/cms/Role=NULL/Capability=NULL", "/cms", None),
        ("/cms/Capability=NULL", "/cms", None),
        ("/cms/heavy/ions", "/cms/heavy/ions", None),
        ("/cms/Role=production", "/cms", "production"),
        ("/cms/heavy/Role=pilot/Capability=NULL", "/cms/heavy", "pilot"),
        ("/vo.example.org/a-b_c.d/Role=X-y_z.0", "/vo.example.org/a-b_c.d", "X-y_z.0"),
        ("/cms/Role", "/cms/Role", None),
    ],
)
def test_both_forms_are_parsed(text: str, group: str, role: str | None) -> None:
    found = Fqan.parse(text)
    assert found == Fqan(group, role)
    assert found.vo == group.split("/")[1]
    assert found.short == str(found) == (f"{group}/Role={role}" if role else group)
    assert found.long == f"{group}/Role={role or 'NULL'}/Capability=NULL"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "cms",
        "//cms",
        "/cms/",
        "/cms//heavy",
        "/cms ",
        " /cms",
        "/cms\n",
        "/cms\n/Role=production",
        "/cms\0",
        "/c ms",
        "/cms/Role=",
        "/cms/role=production",
        "/cms/Role=a/Role=b",
        "/cms/Role=a/b",
        "/cms/Role=production/Capability=x",
        "/cms/Role=production/Capability=",
        "/cms/Capability=NULL/Role=production",
        "/Role=production",
        "/Role=NULL/Capability=NULL",
        "/cms/Role=a=b",
        "/cms=x",
        "/cms,/atlas",
        "/cms;x",
        '/cms"',
        "/cms*",
        "/c\u00fcs",
        "/cms\u2044x",
        "/\uff43ms",
        "/cms/Role=p\u00e4",
        "/..",
        "/../etc",
        "/cms/..",
        "/cms/.hidden",
        "/cms/Role=..",
    ],
)
def test_what_is_no_fqan_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "group, role",
    [("cms", None), ("/cms", ""), ("/cms", "NULL"), ("/cms", "a/b"), ("/cms\n", None), ("/cms", "a\n"), ("", None)],
)
def test_none_can_be_made_that_could_not_be_parsed(group: str, role: str | None) -> None:
    with pytest.raises(FqanRefusedError):
        Fqan(group, role)


def test_the_long_form_has_a_bound() -> None:
    longest = "/" + "x" * (MAX_FQAN_LENGTH - len(NULLS) - 1)
    assert len(Fqan.parse(longest).long) == MAX_FQAN_LENGTH
    refused(longest + "x")
    refused("/cms" * 100_000)
    refused("/cms/Role=" + "=" * 100_000)


@given(FQANS)
@settings(max_examples=200, deadline=None)
def test_each_form_is_read_as_what_it_was_written_from(fqan: Fqan) -> None:
    assert Fqan.parse(fqan.short) == Fqan.parse(fqan.long) == fqan
    assert Fqan.parse(fqan.long.removesuffix("/Capability=NULL")) == fqan


@given(st.text(st.sampled_from("/=.RoleCapbityNUL \n\0\u00e4cms"), max_size=40))
@settings(max_examples=300, deadline=None)
def test_a_text_is_one_form_or_refused(text: str) -> None:
    try:
        found = Fqan.parse(text)
    except ProxyGenError as error:
        assert type(error) is FqanRefusedError  # noqa: PT017 - to be parsed is well, too
        return
    short = text.removesuffix("/Capability=NULL").removesuffix("/Role=NULL")
    assert found.short == short
