"""From a site file to a site: every mistake at once, each with its line and a hint."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from k8s_manifests.consistency import mistakes_of
from k8s_manifests.errors import SiteFileError
from k8s_manifests.site import Site, overlaid, site_of
from ttscache.config import document
from ttscache.config.schema import faults, with_defaults
from ttscache.errors import ConfigurationError


@cache
def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of site files."""
    loaded: Mapping[str, Any] = yaml.safe_load(files(__package__).joinpath("site.schema.yaml").read_text())
    return loaded


@cache
def preset(community: str) -> Mapping[str, Any]:
    """Return what a site file of a community need not say."""
    loaded: Mapping[str, Any] = yaml.safe_load(files(__package__).joinpath(f"communities/{community}.yaml").read_text())
    return loaded


def load(path: Path) -> Site:
    """Load a site file. Raises SiteFileError with every mistake that was found."""
    try:
        text = path.read_bytes()
    except OSError as error:
        hint = "`ttscache site init` makes one"
        raise SiteFileError((f"{path}: cannot be read: {error.strerror}; {hint}",)) from None
    return parse(text, path)


def parse(text: bytes, path: Path) -> Site:
    """Return the site of a site file's text; ``path`` is what it is called. Raises SiteFileError."""
    if not text.strip():
        raise SiteFileError((f"{path}: the file is empty; `ttscache site init` makes one",))
    try:
        parsed = document.parse(text, str(path))
    except ConfigurationError as error:
        raise SiteFileError(error.mistakes) from None
    found = list(faults(parsed, schema()))
    mistakes = [*parsed.mistakes, *(parsed.mistake(fault.path, fault.message) for fault in found)]
    if any(fault.breaks for fault in found) or parsed.mistakes:
        raise SiteFileError(tuple(mistakes))
    merged = _over_preset(parsed.value)
    site = site_of(merged, path.absolute().parent, lambda settings: dict(with_defaults(settings, schema())))
    mistakes += [parsed.mistake(place, message) for place, message in mistakes_of(merged, site)]
    if mistakes:
        raise SiteFileError(tuple(mistakes))
    return site


def _over_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a site file over its community's preset. Another IAM's tokens say its URL, unless told otherwise."""
    merged = overlaid(preset(given["community"]), given)
    issuer = given.get("issuer", {})
    if "url" in issuer and "token_issuer" not in issuer:
        merged["issuer"] = {**merged["issuer"], "token_issuer": issuer["url"]}
    return merged
