"""Files of exact names: grid-mapfiles, and maps of VOMS attributes."""

import pytest
from hypothesis import assume, given

from proxy_gen.mapfiles import gridmap, lcmaps, xrootd
from proxy_gen.voms.fqan import Fqan
from tests.proxy_gen.mapfiles.names import odd_text

READERS = pytest.mark.parametrize("reader", gridmap.Reader, ids=lambda reader: reader.value)
ACCOUNTS = {Fqan("/cms", "production"): "cmsprod", Fqan("/cms"): ".cms"}


@READERS
@given(value=odd_text)
def test_a_name_is_read_as_written_or_refused(reader: gridmap.Reader, value: str) -> None:
    name = "/CN=" + value
    if gridmap.refusal(name, reader) is None:
        assert gridmap.read(gridmap.write({name: "jane", name + "x": "joe"}, reader)) == {
            name: "jane",
            name + "x": "joe",
        }
    else:
        with pytest.raises(ValueError, match="misread"):
            gridmap.write({name: "jane"}, reader)


@pytest.mark.parametrize(
    "name, grid, lcmaps_too",
    [("/CN=a b", True, True), ("/CN=(a)'b'#c", True, True), ("/CN=a[b]", True, False), ("/CN=a?", True, False),
     ("/CN=a*", False, False), ('/CN=a"b', False, False), ("/CN=a\\b", False, False), ("/CN=a$", False, True),
     ("/CN=a$b", True, True), ("/CN=\u00fc", False, False), ("/CN=a\n", False, False)],
)  # fmt: skip
def test_refused_names(name: str, grid: bool, lcmaps_too: bool) -> None:  # noqa: FBT001 - expected values
    assert (gridmap.refusal(name, gridmap.Reader.GRIDMAP) is None) is grid
    assert (gridmap.refusal(name, gridmap.Reader.LCMAPS) is None) is lcmaps_too


def test_the_reader_refuses_what_it_does_not_know() -> None:
    for text in ("/CN=a jane\n", '"/CN=a"  jane\n', '"/CN=a" jane,joe\n', '"/CN=a\n'):
        with pytest.raises(ValueError, match="not a line"):
            gridmap.read(text)


def test_voms_maps() -> None:
    assert lcmaps.write(ACCOUNTS) == (
        '"/cms/Role=production/Capability=NULL" cmsprod\n"/cms/Role=production" cmsprod\n'
        '"/cms/Role=NULL/Capability=NULL" .cms\n"/cms" .cms\n'
    )
    assert xrootd.write_voms(ACCOUNTS) == (
        '"/cms/Role=production/Capability=NULL" cmsprod\n"/cms/Role=NULL/Capability=NULL" .cms\n'
    )


def test_of_several_fqans_the_first_that_is_there_counts() -> None:
    fqans = [
        "/cms/Role=pilot/Capability=NULL",
        "/cms/Role=NULL/Capability=NULL",
        "/cms/Role=production/Capability=NULL",
    ]
    for mapped in (lcmaps.Reader(lcmaps.write(ACCOUNTS)).map, xrootd.VomsReader(xrootd.write_voms(ACCOUNTS)).map):
        assert mapped(fqans) == ".cms"
        assert mapped(fqans[::-1]) == "cmsprod"
        assert mapped(fqans[:1]) is None
        assert mapped(["/cms/x/Role=NULL/Capability=NULL", "/CMS/Role=NULL/Capability=NULL"]) is None


@given(odd_text)
def test_no_odd_fqan_is_mapped(text: str) -> None:
    assume(not text.isalnum())
    assert lcmaps.Reader(lcmaps.write(ACCOUNTS)).map(["/cms/" + text]) is None
