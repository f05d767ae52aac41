"""Configurations spoiled at random: whatever it is, it loads or it is a ConfigurationError."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ttscache.config.load import load
from ttscache.errors import ConfigurationError
from ttscache.sandbox.site import Site

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["10m\n", "0s", "12h", "memory:", "sqlite:///x", "unix:", "/CN={sub}", "{}", "\x00", "\ud800", ""]),
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["file", "env", "name", "type", "key"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
_FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="session")
def mutant(sandbox_site: Site) -> Path:
    return sandbox_site.directory / "mutant.yaml"


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - YAML
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in _places(item, (*path, key)))]


def _load(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with contextlib.suppress(ConfigurationError):
        load(path)


@_FUZZ
@given(data=st.data())
def test_values_replaced_anywhere(sandbox_site: Site, mutant: Path, data: st.DataObject) -> None:
    document = yaml.safe_load(sandbox_site.configuration.read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(_places(document)))
        value = data.draw(_values)
        if not place:
            document = value
            break
        parent = document
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = value
    _load(mutant, yaml.safe_dump(document, allow_unicode=True).encode(errors="replace"))
    _load(mutant, yaml.safe_dump(document, allow_unicode=False).encode())


@_FUZZ
@given(at=st.integers(0, 3000), removed=st.integers(0, 30), inserted=st.binary(max_size=12) | st.text(max_size=8))
def test_bytes_replaced_anywhere(
    sandbox_site: Site, mutant: Path, at: int, removed: int, inserted: bytes | str
) -> None:
    text = sandbox_site.configuration.read_bytes()
    new = inserted if isinstance(inserted, bytes) else inserted.encode(errors="replace")
    at %= len(text)
    _load(mutant, text[:at] + new + text[at + removed :])


@_FUZZ
@given(text=st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t0123.~<="), max_size=60))
def test_anything_like_yaml(mutant: Path, text: str) -> None:
    _load(mutant, text.encode())
