import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscache.mapping.template import ClaimUnfitError, Literal, Placeholder, Template, TemplateError


def fits(_: str) -> None:
    return None


def test_pieces() -> None:
    template = Template.parse("/DC=ch/CN={preferred_username}/CN=u-{https://ns/x.y}")
    assert template.pieces == (
        Literal("/DC=ch/CN="),
        Placeholder("preferred_username"),
        Literal("/CN=u-"),
        Placeholder("https://ns/x.y"),
    )
    assert template.literal_prefix == "/DC=ch/CN="
    assert Template.parse("{a}b").literal_prefix == Template.parse("").literal_prefix == ""


@pytest.mark.parametrize(
    "text, why",
    [
        ("{", "without its partner"),
        ("a}", "without its partner"),
        ("{a", "without its partner"),
        ("{{a}}", "without its partner"),
        ("{a}}", "without its partner"),
        ("{}", "names no claim"),
        ("{ a}", "names no claim"),
        ("{a b}", "names no claim"),
        ("{a!r}", "names no claim"),
        ("{a[0]}", "names no claim"),
        ("{.a}", "names no claim"),
        ("{a\n}", "names no claim"),
        ("{é}", "names no claim"),
        ("{" + "a" * 101 + "}", "names no claim"),
    ],
)
def test_what_is_no_template(text: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        Template.parse(text)


def test_names_of_claims_are_no_paths_into_python() -> None:
    with pytest.raises(ClaimUnfitError, match="missing"):
        Template.parse("{a.__class__}").fill({"a": "x"}, fits)


def test_the_reason_that_a_value_is_unfit() -> None:
    with pytest.raises(ClaimUnfitError) as raised:
        Template.parse("{a}{b}").fill({"a": "x", "b": "y"}, lambda value: "is y" if value == "y" else None)
    assert (raised.value.name, raised.value.why) == ("b", "is y")


@given(st.text())
def test_any_text_is_a_template_or_is_refused(text: str) -> None:
    try:
        template = Template.parse(text)
    except TemplateError:
        return
    rebuilt = "".join(p.text if isinstance(p, Literal) else f"{{{p.claim}}}" for p in template.pieces)
    assert rebuilt == text


@given(st.lists(st.sampled_from(["a", "b", "/CN=", "-"]), max_size=6), st.text(min_size=1), st.text(min_size=1))
def test_filling_puts_values_in_their_places(parts: list[str], a: str, b: str) -> None:
    values = {"a": a, "b": b}
    template = Template.parse("".join(f"{{{part}}}" if part in values else part for part in parts))
    expected = "".join(values.get(part, part) for part in parts)
    try:
        filled = template.fill(values, fits)
    except ClaimUnfitError as error:
        filled, expected = values[error.name].strip(), ""
    assert filled == expected
