"""XRootD of a site whose files come from mapping rules: grid-mapfile, VOMS map, name map, authorization database.

XRootD's SciTokens plug-in would fetch an issuer's keys over HTTPS, and trusts the machine's own CAs, which know none of
ours. So the keys are put where it keeps what it fetched.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.xrootd import HTTPS, STORAGE, XRootD
from tests.acceptance.xrootd_service import Home, gsi, home, need_plugins, service
from tests.tools.hostcert import HostCredential

# `gmapopt:1`: whom the grid-mapfile does not have may come with VOMS attributes
_DOORS = ("-gridmap:{home}/grid-mapfile", "-gmapopt:1", "-gmapto:1", "-vomsat:1", "-vomsfun:libXrdVoms.so")
_MAPS = """\
ofs.authlib ++ libXrdAccSciTokens.so config={home}/scitokens.cfg
voms.mapfile {home}/voms-mapfile
http.gridmap {home}/grid-mapfile
http.secxtractor libXrdHttpVOMS.so
http.header2cgi Authorization authz
scitokens.trace all
"""
# the name map is looked at only for what is below `base_path`
_TOKENS = """\
[Global]
audience = {audience}
onmissing = passthrough
[Issuer ours]
issuer = {issuer}
base_path = /
name_mapfile = {home}/names.json
"""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are taken: those for an audience, signed with one of the keys (a JWKS)."""

    url: str
    audience: str
    keys: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Maps:
    """The files, as they were exported."""

    gridmap: str
    voms: str
    authdb: str
    names: str


@contextmanager
def mapped_storage(
    trust_dir: Path, voms_dir: Path, host: HostCredential, *, maps: Maps, issuer: Issuer, files: Mapping[str, str]
) -> Iterator[XRootD]:
    """Run a server with these maps and files (name -> content) until the block ends."""
    need_plugins("XrdAccSciTokens", "XrdVoms")
    with home(trust_dir, host) as place:
        shutil.copytree(voms_dir, place.top / "vomsdir")
        for name, content in files.items():
            place.write(f"data/{name}", content)
        place.write("grid-mapfile", maps.gridmap)
        place.write("voms-mapfile", maps.voms)
        place.write("authdb", maps.authdb)
        place.write("names.json", maps.names)
        place.write("scitokens.cfg", _TOKENS.format(audience=issuer.audience, issuer=issuer.url, home=place.top))
        _keep_keys(place, issuer)
        env = {"X509_VOMS_DIR": place.top / "vomsdir", "X509_CERT_DIR": place.trust, "XDG_CACHE_HOME": place.top}
        with service(place, gsi(*_DOORS) + STORAGE + HTTPS + _MAPS, env=env) as (server, port):
            yield XRootD(server, port, trust_dir)


def _keep_keys(place: Home, issuer: Issuer) -> None:
    """Write the cache of libscitokens, in which an issuer's keys are good for a day."""
    tomorrow = int(time.time()) + 86400
    kept = json.dumps({"expires": tomorrow, "next_update": tomorrow, "jwks": issuer.keys})
    place.folder("scitokens")
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)")
        database.execute("INSERT INTO keycache VALUES (?, ?)", (issuer.url, kept))
        database.commit()
        place.private("scitokens/scitokens_cpp.sqllite", database.serialize())
