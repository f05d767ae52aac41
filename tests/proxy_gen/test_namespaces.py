"""Namespaces files: which lines are entries, and which names their expressions match."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.errors import CredentialFileError
from proxy_gen.namespaces import Namespaces
from proxy_gen.signing_policy import MAX_POLICY_BYTES
from tests.proxy_gen.policies import CA, JANE, MAIL, TOP

# as the IGTF distributes them
DISTRIBUTED = f"""\
##############################################################################
#NAMESPACES-VERSION: 1.0
#
# @(#)$Id$
TO Issuer "{CA}" \\
  PERMIT Subject "{TOP}/OU=People/.*"

to issuer self deny subject "{TOP}/OU=People/CN=(not|a|group)" # a comment
""".replace("(not|a|group)", "joe")


def permits(content: str, name: str = JANE, ca: str = CA) -> bool:
    return Namespaces.parse(content.encode()).permits(ca, name)


def of(expression: str) -> str:
    return f'TO Issuer "{CA}" PERMIT Subject "{expression}"\n'


def test_a_file_as_it_is_distributed() -> None:
    assert permits(DISTRIBUTED)
    assert not permits(DISTRIBUTED, f"{TOP}/OU=People/CN=Joe")
    assert not permits(DISTRIBUTED, f"{TOP}/CN=jane")
    assert not permits(DISTRIBUTED, JANE, "/O=another CA")  # SELF is whoever the file belongs to
    assert permits(of(".*"), JANE, "/O=another CA")  # it says nothing of that one


@pytest.mark.parametrize(
    "expression, name, expected",
    [
        (JANE, JANE, True),
        (JANE.upper(), JANE, True),
        (".*", "", True),
        ("/O=x", "/O=xy", False),
        ("/O=x", "z/O=x", False),
        ("^/O=x$", "/O=x", True),
        ("/O=a.c", "/O=abc", True),
        (r"/O=a\.c", "/O=abc", False),
        (r"/O=a\.c", "/O=a.c", True),
        (r"/O=a\*c\+\?\(\)\[\]\{\}\|\^\$\\", "/O=a*c+?()[]{}|^$\\", True),
        ("/O=ab*c", "/O=ac", True),
        ("/O=ab+c", "/O=ac", False),
        ("/O=ab+c", "/O=abbbc", True),
        ("/O=ab?c", "/O=ac", True),
        ("/O=ab?c", "/O=abbc", False),
        ("/O=[a-c0]+", "/O=abc0", True),
        ("/O=[A-C]", "/O=b", True),
        ("/O=[^a-c]", "/O=d", True),
        ("/O=[^a-c]", "/O=a", False),
        ("/O=.*/CN=.*", "/O=a/CN=b", True),
        ("/O=a/CN=.*", "/O=a/CN=", True),
        (r"/O=\"\#", '/O="#', True),
        (f"{TOP}/E=.*", MAIL, True),
        (f"{TOP}/Email=jane@.*", MAIL, True),
    ],
)
def test_an_expression(expression: str, name: str, *, expected: bool) -> None:
    assert permits(of(expression), name) is expected


@pytest.mark.parametrize(
    "content",
    [
        "TO Issuer x PERMIT Subject y",
        f'TO Issuer "{CA}" PERMIT "x"',
        f'TO Issuer "{CA}" ALLOW Subject "x"',
        f'TO Issuer "{CA}" PERMIT Subject "x',
        f'TO Issuer "{CA}" PERMIT Subject "x" y',
        f'TO Issuer "{CA}"\n PERMIT Subject "x"',
        "#NAMESPACES-VERSION: 2.0\n",
        "\xff",
        *map(
            of, ["(a|b)", "a{2}", "*", "a**", "[a", "a\\", "\\d", "[]", "[^]", "[a^]", "a|b", "a^b", "a$b", "x" * 1100]
        ),
        "\n" * (MAX_POLICY_BYTES + 1),
    ],
)
def test_what_is_no_namespaces_file(content: str) -> None:
    with pytest.raises(CredentialFileError, match="namespaces cannot be read: ") as error:
        Namespaces.parse(content.encode("latin-1"))
    assert error.value.code == "namespaces_malformed"
    assert "\n" not in str(error.value)


def test_an_empty_file_says_nothing() -> None:
    assert permits("# nothing\n")


def test_no_expression_takes_long() -> None:
    began = time.process_time()
    content = of(".*a?[ab]*" * 100 + "x") * 20
    assert not permits(content, "/O=" + "a" * 500)
    assert time.process_time() - began < 10  # backtracking would take longer than the universe is old


_ATOMS = st.sampled_from(["a", "B", "/", "=", ".", "[ab]", "[^a]", "\\.", "\\*"])
_QUANTIFIED = st.tuples(_ATOMS, st.sampled_from(["", "", "*", "+", "?"])).map("".join)


@given(st.lists(_QUANTIFIED, max_size=6).map("".join), st.text(st.sampled_from("aAbB/=.*x"), max_size=8))
@settings(max_examples=400, deadline=None)
def test_expressions_mean_what_they_mean_in_python(expression: str, name: str) -> None:
    expected = re.fullmatch(expression, name, re.IGNORECASE | re.DOTALL) is not None
    assert permits(of(expression), name) is expected
