"""The JSON Schema of the configuration; validation by a schema in words that help, and its defaults."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from ttscache.config.document import Document, Path

_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
}

_DURATION_HINT = "must be a number and a unit: 30s, 10m, 24h, 7d"


@cache
def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of the configuration."""
    loaded: Mapping[str, Any] = yaml.safe_load(files(__package__).joinpath("schema.yaml").read_text())
    return loaded


class Fault(NamedTuple):
    """What is wrong at a place; ``breaks`` when nothing can be made of what stands there."""

    path: Path
    message: str
    breaks: bool


def faults(document: Document, root: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what a schema finds wrong. A value is never repeated: it may be a secret."""
    for error in Draft202012Validator(root).iter_errors(document.value):
        yield from _explained(error)


def with_defaults(value: Any, root: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a valid document with every default of its schema filled in."""
    return _filled(value, root, root)


def _filled(value: Any, part: Mapping[str, Any], root: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    part = _resolved(part, root)
    if isinstance(value, dict):
        properties = {**part.get("properties", {}), **_properties_of_kind(part, value, root)}
        filled = {name: sub["default"] for name, sub in properties.items() if "default" in sub} | value
        rest = part.get("additionalProperties")
        return {
            name: _filled(item, properties.get(name) or (rest if isinstance(rest, dict) else {}), root)
            for name, item in filled.items()
        }
    if isinstance(value, list):
        return [_filled(item, part.get("items", {}), root) for item in value]
    return value


def _properties_of_kind(
    part: Mapping[str, Any],
    value: Any,  # noqa: ANN401 - JSON
    root: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Return the keys that a value has because of its kind or type."""
    branches = [branch for branch in part.get("allOf", []) if Draft202012Validator(branch["if"]).is_valid(value)]
    chosen = (_resolved(branch["then"], root) for branch in branches)
    properties: Mapping[str, Any] = next(chosen, {}).get("properties", {})
    return properties


def _resolved(part: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref")
    if reference is None:
        return part
    definitions: Mapping[str, Mapping[str, Any]] = root["$defs"]
    return definitions[reference.rsplit("/", 1)[1]]


def _explained(error: ValidationError) -> Iterator[Fault]:
    path: Path = tuple(error.absolute_path)
    explain = _EXPLANATIONS.get(str(error.validator))
    if explain is None:
        yield Fault(path, f"does not satisfy '{error.validator}' of the schema", breaks=True)
        return
    for place, message in explain(error, path):
        # an unknown key has a place of its own; what is around it can be looked at all the same
        yield Fault(place, message, breaks=place == path)


def _unknown_keys(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    known = sorted(_mapping(error.schema).get("properties", {}))
    if _mapping(error.schema) == schema()["$defs"]["secret"]:
        # what stands there may be the secret itself
        yield path, "must be {file: PATH} or {env: NAME}, with no other key"
        return
    for key in sorted(set(_mapping(error.instance)) - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "known here: " + ", ".join(known)
        yield (*path, key), f"unknown key; {hint}"


def _missing_keys(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    # jsonschema reports each missing key in an error of its own, and names it in the message only
    for key in _sequence(error.validator_value):
        if key not in _mapping(error.instance) and f"'{key}'" in error.message:
            yield path, f"the key '{key}' is missing"


def _wrong_type(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    if _mapping(error.schema).get("pattern") == _duration_pattern():
        yield path, _DURATION_HINT
        return
    wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    names = " or ".join(_TYPE_NAMES.get(str(name), str(name)) for name in wanted)
    yield path, f"must be {names}{_described(error)}"


def _described(error: ValidationError) -> str:
    """Return what the schema says that should stand there, in brackets."""
    description = _mapping(error.schema).get("description")
    return f" ({description.rstrip('.')})" if description else ""


def _not_in_list(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    yield path, "must be one of " + ", ".join(str(value) for value in _sequence(error.validator_value))


def _wrong_pattern(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    is_duration = error.validator_value == _duration_pattern()
    yield path, _DURATION_HINT if is_duration else f"must match {error.validator_value}{_described(error)}"


def _duration_pattern() -> str:
    return str(schema()["$defs"]["duration"]["pattern"])


def _too_few(_: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    yield path, "must not be empty"


def _too_many(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    yield path, f"must not have more than {error.validator_value} entries"


def _too_long(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    yield path, f"must not have more than {error.validator_value} characters"


def _out_of_bounds(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    part = _mapping(error.schema)
    yield path, f"must be between {part.get('minimum')} and {part.get('maximum')}"


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - jsonschema's attributes are untyped
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:  # noqa: ANN401 - as above
    return value if isinstance(value, list) else []


_EXPLANATIONS: Mapping[str, Callable[[ValidationError, Path], Iterator[tuple[Path, str]]]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "type": _wrong_type,
    "enum": _not_in_list,
    "pattern": _wrong_pattern,
    "minItems": _too_few,
    "minProperties": _too_few,
    "minLength": _too_few,
    "maxItems": _too_many,
    "maxLength": _too_long,
    "minimum": _out_of_bounds,
    "maximum": _out_of_bounds,
    "maxProperties": _too_many,
}
