"""FQANs, generic attributes, hosts and holders for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from proxy_gen.voms.certificate import GenericAttribute
from proxy_gen.voms.fqan import Fqan

_FIRST = st.sampled_from("abcXYZ019_-")
_WORDS = st.builds(str.__add__, _FIRST, st.text(st.sampled_from("abcXYZ019_-."), max_size=8))
_ROLES = st.none() | _WORDS.filter(lambda word: word != "NULL")


def fqans(vo: st.SearchStrategy[str]) -> st.SearchStrategy[Fqan]:
    """FQANs of a VO."""
    groups = st.builds(
        lambda first, rest: "".join(f"/{word}" for word in (first, *rest)), vo, st.lists(_WORDS, max_size=4)
    )
    return st.builds(Fqan, groups, _ROLES)


FQANS = fqans(_WORDS)
_TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=20)
GENERIC = st.builds(GenericAttribute, _TEXTS, _TEXTS, _TEXTS)
HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
