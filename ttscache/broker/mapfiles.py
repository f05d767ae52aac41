"""The mapping rules as consumers' files, with the names that the store knows to have been given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ttscache.broker.ownership import known_names
from ttscache.config.settings import IssuerConfiguration, Settings
from ttscache.errors import RequestInvalidError
from ttscache.identity.settings import TokenProfile
from ttscache.mapping.export_check import faults
from ttscache.mapping.export_grants import LeftOut
from ttscache.mapping.exports import Format, Source, export, needs_known_names
from ttscache.store.base import Store


class ExportFaultError(Exception):
    """A file does not say what the rules say: a fault of ours; ``faults`` are lines that tell it."""

    def __init__(self, found: tuple[str, ...]) -> None:
        super().__init__("the file does not say what the rules say")
        self.faults = found


@dataclass(frozen=True)
class MapFile:
    """A file's text, and the rules of which it does not say everything."""

    text: str
    left_out: tuple[LeftOut, ...]


async def mapfile(settings: Settings, store: Store | None, form: Format, issuer: str | None) -> MapFile:
    """Return a file, read back as its consumer reads it.

    ``store`` is None where no name can have been given; ``issuer`` says whose tokens the file is for, where there are
    several. Raises RequestInvalidError, StoreUnavailableError, ExportFaultError.
    """
    source = await _source(settings, store, form, issuer)
    return await asyncio.to_thread(_checked, form, source)


def _checked(form: Format, source: Source) -> MapFile:
    exported = export(form, source)
    wrong = faults(form, source, exported)
    if wrong:
        raise ExportFaultError(tuple(wrong))
    return MapFile(exported.text, exported.left_out)


async def _source(settings: Settings, store: Store | None, form: Format, issuer: str | None) -> Source:
    if form is Format.XROOTD_SCITOKENS:
        identity = _issuer(settings, issuer).identity
        return Source(settings.rules, issuer=identity.name, groups_claim=identity.token_profile is TokenProfile.WLCG)
    if issuer is not None:
        raise RequestInvalidError("`issuer` is for xrootd-scitokens; the other files are about all issuers")
    if store is None or not needs_known_names(form, settings.rules):
        return Source(settings.rules)
    return Source(settings.rules, known=await known_names(store))


def _issuer(settings: Settings, name: str | None) -> IssuerConfiguration:
    found = [each for each in settings.issuers if name in {None, each.identity.name}]
    if len(found) != 1:
        names = ", ".join(each.identity.name for each in settings.issuers)
        raise RequestInvalidError(f"`issuer` must name one of the configured issuers: {names}")
    return found[0]
