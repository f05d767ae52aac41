"""The schema documents every key, and the defaults that it names are those that hold."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from ttscache.config.load import effective, load
from ttscache.config.schema import schema
from ttscache.sandbox.site import Site


def _properties(part: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, sub in part.get("properties", {}).items():
        yield f"{path}.{name}", sub
        yield from _properties(sub, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            yield from _properties(part[key], f"{path}[]")


def _objects(part: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - JSON
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield part
        for sub in part.values():
            yield from _objects(sub)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_every_key_is_documented() -> None:
    keys = dict(_properties(schema()))
    assert len(keys) > 50
    assert [path for path, part in keys.items() if len(part.get("description", "")) < 10] == []
    secret = dict(_properties(schema()["$defs"]["secret"]))
    assert all(part["description"] for part in secret.values())


def test_every_word_of_it_is_a_keyword() -> None:
    """A comma in a description that is not quoted makes keys of its other half."""
    keywords = {"description", "default", "title", "$schema", "$defs"} | set(Draft202012Validator.VALIDATORS)
    parts = [part for _, part in _properties(schema())] + list(_objects(schema()))
    assert {key for part in parts for key in part} - keywords == set()


def test_no_object_takes_unknown_keys() -> None:
    """What an object with kinds takes is said by its kinds."""
    assert all("additionalProperties" in part or "allOf" in part for part in _objects(schema()))


def test_the_effective_configuration_has_the_defaults_and_no_secret(site: Site) -> None:
    shown = effective(site.configuration)
    assert shown["server"]["deadline"] == "15s"
    assert shown["issuers"][0]["algorithms"] == ["RS256", "ES256"]
    assert shown["issuers"][0]["session"] == {"confirm": "1h", "grace": "6h", "idle": "7d", "absolute": "30d"}
    assert shown["profiles"]["limited"]["max_lifetime"] == "12h"
    assert shown["issuers"][0]["exchange"]["client_secret"] == {"file": "client-secret"}
    assert (site.directory / "client-secret").read_text() not in str(shown)
    settings = load(site.configuration)
    assert settings.server.deadline == 15
    assert settings.store.stale_for == 300
