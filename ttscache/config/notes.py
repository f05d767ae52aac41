"""Gathers the mistakes of a configuration while its parts are built, so that all are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Any, TypeVar

from proxy_gen.errors import ProxyGenError
from ttscache.authority.condor import CondorTokenError
from ttscache.config.certificates import CertificateFileError
from ttscache.config.document import Document, Path
from ttscache.config.listen import ListenError
from ttscache.config.secrets import SecretError
from ttscache.mapping.template import Template, TemplateError

_Part = TypeVar("_Part")
_LONGEST = 36500 * 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# two letters are fit in every place of a DN
SAMPLE_CLAIM = "xx"
_EXPECTED = (SecretError, CertificateFileError, ProxyGenError, TemplateError, ListenError, CondorTokenError)


class Notes:
    """The ``mistakes`` in a document, each with its line; relative paths start at ``directory``."""

    def __init__(self, document: Document, directory: FilePath) -> None:
        self.mistakes: list[str] = []
        self.directory = directory
        self._document = document

    def wrong(self, path: Path, message: str) -> None:
        """Note a mistake."""
        self.mistakes.append(self._document.mistake(path, message))

    def noted(self, path: Path, build: Callable[[], _Part], otherwise: _Part) -> _Part:
        """Return what ``build`` returns; an expected error of its becomes a mistake at ``path``."""
        try:
            return build()
        except _EXPECTED as error:
            self.wrong(path, str(error))
            return otherwise

    @contextmanager
    def noting(self, path: Path) -> Iterator[None]:
        """Turn an expected error into a mistake at ``path``."""
        try:
            yield
        except _EXPECTED as error:
            self.wrong(path, str(error))

    def seconds(self, path: Path, text: str, *, at_least: int = 0) -> float:
        """Return a duration in seconds."""
        seconds = int(text[:-1]) * _UNITS[text[-1]]
        if seconds < at_least:
            self.wrong(path, f"must be at least {at_least}s")
        if seconds > _LONGEST:
            self.wrong(path, "must be at most 36500d")
            seconds = _LONGEST
        return float(seconds)

    def lifetimes(self, path: Path, part: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return a profile's lifetimes in seconds: the default, the least, and the longest."""
        default, low, high = (
            int(self.seconds((*path, key), part[key], at_least=1))
            for key in ("lifetime", "min_lifetime", "max_lifetime")
        )
        if not low <= default <= high:
            self.wrong(path, "must have min_lifetime <= lifetime <= max_lifetime")
        return default, low, high

    def template(self, path: Path, text: str) -> Template:
        """Return a template."""
        return self.noted(path, lambda: Template.parse(text), Template(()))


def strings(value: str | list[str] | None) -> tuple[str, ...]:
    """Return a string, or the strings of a list."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
