"""Reading JSON into a flat dataclass, strictly."""

import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Model = TypeVar("Model")


def decode(model: type[Model], data: object) -> Model:
    """Make a `model` of a JSON object; `ValueError` names a field that is unknown or of the wrong type."""
    if not isinstance(data, dict):
        raise ValueError("a JSON object is expected")  # noqa: TRY004 - one type of error for all that is wrong
    hints = get_type_hints(model)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in hints:
            raise ValueError(f"unknown field {name!r}")
        values[name] = tuple(value) if isinstance(value, list) else value
        if not _conforms(values[name], hints[name]):
            raise ValueError(f"wrong type or value of {name!r}")
    return model(**values)


def _conforms(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type annotation is of any kind
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_conforms(value, option) for option in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(_conforms(one, arguments[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
