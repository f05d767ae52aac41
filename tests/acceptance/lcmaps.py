"""LCMAPS, which maps grid credentials to accounts for gLExec, GridFTP and StoRM: chains, DNs and FQANs.

Each question is a process of its own and takes 20 ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.site import JANE, JOE, OUTSIDER, Site
from tests.tools.compiler import compiled
from tests.tools.programs import Verdict, environment, run, unavailable

# the accounts are some that every Debian has, for LCMAPS looks them up
_ACCOUNTS = {JANE: "daemon", JOE: "bin", OUTSIDER: "daemon"}
_GROUPS = {
    "/cms/Role=NULL/Capability=NULL": "daemon",
    "/cms/Role=production/Capability=NULL": "bin",
    "/cms/heavy/Role=pilot/Capability=NULL": "games",
}
_SHIM = Path(__file__).parent / "shims" / "lcmaps_run.c"
_PLUGINS = Path("/usr/lib/lcmaps")
_HEADERS = Path("/usr/include/lcmaps")
# of the chain, and of whom the attributes map to
REFUSAL = "verify proxy plugin failed"
REFUSAL_FQAN = f"{REFUSAL}|voms_localaccount plugin failed"
_CONFIGURATION = """\
path = {plugins}
verify = "lcmaps_verify_proxy.mod --allow-limited-proxy -certdir {trust}"
dn = "lcmaps_localaccount.mod -gridmapfile {top}/grid-mapfile"
fqan = "lcmaps_voms_localaccount.mod -gridmapfile {top}/groupmapfile"

by_dn:
verify -> dn

by_fqan:
verify -> fqan
"""


@dataclass(frozen=True, slots=True, repr=False)
class LcmapsVerdict(Verdict):
    """Whether there is an account for the holder, and which."""

    account: str | None


class Lcmaps:
    """LCMAPS with a grid-mapfile (DN -> account) and a group map (FQAN in the long form -> account)."""

    def __init__(
        self, directory: Path, trust_dir: Path, voms_dir: Path, gridmap: Mapping[str, str], groupmap: Mapping[str, str]
    ) -> None:
        missing = [name for name in ("verify_proxy", "localaccount", "voms_localaccount") if not _plugin(name).exists()]
        if missing or not _HEADERS.exists():
            unavailable(f"not installed: LCMAPS ({', '.join(missing) or 'headers'})")
        self._directory = directory
        self._settings = {"X509_CERT_DIR": trust_dir, "X509_VOMS_DIR": voms_dir}
        self._write("lcmaps.db", _CONFIGURATION.format(plugins=_PLUGINS, trust=trust_dir, top=directory))
        self._write("grid-mapfile", "".join(f'"{dn}" {account}\n' for dn, account in gridmap.items()))
        self._write("groupmapfile", "".join(f'"{fqan}" {account}\n' for fqan, account in groupmap.items()))
        # the libraries by their file names: the package with the links for compilers brings twenty others
        libraries = ("-l:liblcmaps_return_account_from_pem.so.0", "-l:liblcmaps.so.0")
        self._program = compiled(_SHIM, directory / "lcmaps_run", *libraries)

    def by_dn(self, pem: bytes) -> LcmapsVerdict:
        """Verify the chain, and map the end entity's DN."""
        return self._ask("by_dn", pem)

    def by_fqan(self, pem: bytes) -> LcmapsVerdict:
        """Verify the chain and the attribute certificates, and map the first FQAN that is in the map."""
        return self._ask("by_fqan", pem)

    def _ask(self, policy: str, pem: bytes) -> LcmapsVerdict:
        log = self._write("log", "")
        env = environment(
            LCMAPS_DB_FILE=self._directory / "lcmaps.db",
            LCMAPS_POLICY_NAME=policy,
            LCMAPS_LOG_FILE=log,
            LCMAPS_DEBUG_LEVEL="4",
            **self._settings,
        )
        done = run([self._program], env=env, stdin=pem)
        account = done.text.strip() if done else None
        return LcmapsVerdict(done.ok, f"{done.text}\n{log.read_text()}", account)

    def _write(self, name: str, content: str) -> Path:
        file = self._directory / name
        file.write_text(content)
        return file


def lcmaps_of(site: Site, directory: Path) -> Lcmaps:
    """Return LCMAPS as the acceptance site has it."""
    return Lcmaps(directory, site.trust_dir, site.voms_dir, _ACCOUNTS, _GROUPS)


def _plugin(name: str) -> Path:
    return _PLUGINS / f"lcmaps_{name}.mod"
