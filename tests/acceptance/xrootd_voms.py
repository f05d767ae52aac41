"""XRootD as a storage site of VOs has it: nobody is known by name, rights come with VOMS attributes, by either door.

Groups may do what the authorization file says of them; a role becomes an account by the VOMS map.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance import xrootd
from tests.acceptance.xrootd import HTTPS, STORAGE, XRootD
from tests.acceptance.xrootd_service import gsi, home, need_plugins, service
from tests.tools.hostcert import HostCredential

# `gmapopt:10`: without a map, the DN is the name; `vomsat:1`: attributes are looked for, and may be missing
_VOMS = ("-gmapopt:10", "-vomsat:1", "-vomsfun:libXrdVoms.so", "-vomsfunparms:dbg")
_HTTPS_VOMS = """\
http.secxtractor libXrdHttpVOMS.so dbg
voms.mapfile {home}/voms-mapfile
voms.trace all
"""

# the holder is known, and may not read; or the chain was refused
REFUSAL_GSI = rf"Unable to open \S+; permission denied|{xrootd.REFUSAL_GSI}"
REFUSAL_HTTPS = rf"HTTP/1\.1 403|{xrootd.REFUSAL_HTTPS}"


@contextmanager
def vo_storage(
    trust_dir: Path, voms_dir: Path, host: HostCredential, *, authdb: str, voms_map: str, files: Mapping[str, str]
) -> Iterator[XRootD]:
    """Run a server with an authorization file, a VOMS map and these files (name -> content) until the block ends."""
    need_plugins("XrdVoms", "XrdHttpVOMS")
    with home(trust_dir, host) as place:
        shutil.copytree(voms_dir, place.top / "vomsdir")
        for name, content in files.items():
            place.write(f"data/{name}", content)
        place.write("authdb", authdb)
        place.write("voms-mapfile", voms_map)
        env: dict[str, str | Path] = {"X509_VOMS_DIR": place.top / "vomsdir", "X509_CERT_DIR": place.trust}
        with service(place, gsi(*_VOMS) + STORAGE + HTTPS + _HTTPS_VOMS, env=env) as (server, port):
            yield XRootD(server, port, trust_dir)
