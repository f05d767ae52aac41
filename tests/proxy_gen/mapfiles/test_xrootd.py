"""XRootD's authorization database and its name map for tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_gen.mapfiles.xrootd import (
    Access,
    AuthdbReader,
    TokenEntry,
    TokenReader,
    is_plain_path,
    write_authdb,
    write_scitokens,
)

paths = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda parts: "/" + "/".join(parts))


def test_the_longest_path_first_with_what_the_shorter_ones_have() -> None:
    text = write_authdb({"jane": Access(frozenset({"/store", "/"}), frozenset({"/store/user/jane/"}))})
    assert text == "u jane /store/user/jane/ dilnrw /store/ lr / lr\n"


@given(st.frozensets(paths, max_size=4), st.frozensets(paths, max_size=3), paths)
def test_privileges_are_those_of_every_path_above(read: frozenset[str], modify: frozenset[str], asked: str) -> None:
    reader = AuthdbReader(write_authdb({"jane": Access(read | modify, modify)}))
    inside = asked.rstrip("/") + "/file"

    def under(tops: frozenset[str]) -> bool:
        return any(inside.startswith(top.rstrip("/") + "/") for top in tops)

    wanted = set("rlwidn") if under(modify) else set("rl") if under(read) else set()
    assert reader.privileges("jane", inside) == wanted
    assert reader.privileges("joe", inside) == set()


def test_a_neighbour_is_not_opened() -> None:
    reader = AuthdbReader(write_authdb({"jane": Access(frozenset({"/store"}))}))
    assert reader.privileges("jane", "/store/x") == set("rl")
    assert reader.privileges("jane", "/store2") == set()


@pytest.mark.parametrize("text", ["g cms / rl\n", "u jane /a\n", "u jane / rl\nu jane /a rl\n"])
def test_the_reader_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(ValueError, match="user"):
        AuthdbReader(text)


@pytest.mark.parametrize("path", ["/", "/store", "/store/", "/a.b_c-d+e:f~g/h", "/...", "/.x"])
def test_plain_paths(path: str) -> None:
    assert is_plain_path(path)


@pytest.mark.parametrize(
    "path", ["", "store", "/a b", "//", "/a//b", "/a/../b", "/a/.", "/@=/x", "/$x", "/a%20b", "/#", "/a\\b", "/a\n"]
)
def test_paths_that_are_not(path: str) -> None:
    assert not is_plain_path(path)


def test_name_maps() -> None:
    text = write_scitokens(
        [TokenEntry("a", sub='s"1', group="/g"), TokenEntry("b", group="/g"), TokenEntry("c", sub="s2")]
    )
    assert json.loads(text)[0] == {"sub": 's"1', "group": "/g", "result": "a"}
    reader = TokenReader(text)
    asked = [('s"1', ["/x", "/g"]), ("s2", ["/g"]), ("s2", []), ('s"1', []), ("s2", ["/g2"])]
    assert [reader.map(sub, groups) for sub, groups in asked] == ["a", "b", "c", None, "c"]
