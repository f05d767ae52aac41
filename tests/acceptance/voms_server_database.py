"""The database of a VOMS server: a MariaDB of its own, in a directory, behind a socket there.

Without InnoDB and without accounts it is there in a tenth of a second.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools.programs import dies_with_us, environment, need, run, serving, unavailable

NAME = "voms"
_TABLES = Path("/usr/share/voms/voms-mysql.data")
# version 3 is what VOMS Admin makes of the tables: it can suspend somebody, and say why
_FURNISH = """
    CREATE DATABASE voms; USE voms; SET sql_mode = ''; SOURCE {tables};
    ALTER TABLE ca ADD COLUMN subject_string VARCHAR(255) UNIQUE;
    CREATE TABLE certificate (usr_id BIGINT, ca_id SMALLINT, subject_string VARCHAR(255),
                              suspended BOOL DEFAULT FALSE, suspended_reason VARCHAR(255));
    INSERT INTO seqnumber VALUES ('00'); INSERT INTO version VALUES (3);
"""
_REGISTER = """
    INSERT IGNORE INTO ca (ca, subject_string) VALUES ({ca}, {ca});
    INSERT INTO usr (dn, ca) SELECT {dn}, cid FROM ca WHERE ca = {ca};
    INSERT INTO certificate (usr_id, ca_id, subject_string) SELECT userid, ca, dn FROM usr WHERE dn = {dn};
"""
_ENROL = """
    INSERT IGNORE INTO `groups` (dn) VALUES ({group}); INSERT IGNORE INTO roles (role) VALUES ({role});
    INSERT INTO m (userid, gid, rid)
        SELECT userid, gid, IF({role} = 'NULL', NULL, rid) FROM usr, `groups`, roles
        WHERE usr.dn = {dn} AND `groups`.dn = {group} AND role = {role};
"""
_SUSPEND = "UPDATE certificate SET suspended = TRUE, suspended_reason = {reason} WHERE subject_string = {dn};"


class Database:
    """Who is in the VO."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.execute(_FURNISH.format(tables=_TABLES), database="")

    def register(self, dn: str, ca: str, groups: list[tuple[str, str]]) -> None:
        """Let somebody in, by DN and the CA's DN in slash form, with groups and roles (`NULL`: the group itself)."""
        statements = [_REGISTER.format(dn=_quoted(dn), ca=_quoted(ca))]
        for group, role in groups:
            statements.append(_ENROL.format(dn=_quoted(dn), group=_quoted(group), role=_quoted(role)))
        self.execute("".join(statements))

    def suspend(self, dn: str, reason: str) -> None:
        self.execute(_SUSPEND.format(dn=_quoted(dn), reason=_quoted(reason)))

    def execute(self, statements: str, database: str = NAME) -> None:
        argv = ["mariadb", "--no-defaults", f"--socket={self.socket}", f"--database={database}"]
        done = run(argv, stdin=statements.encode())
        assert done, done


@contextmanager
def database(directory: Path) -> Iterator[Database]:
    """Run a database in a directory, whose path is short enough for a socket, until the block ends."""
    need("mariadbd", "mariadb", "setpriv")
    if not _TABLES.exists():
        unavailable("not installed: voms-mysql-plugin")
    data = directory / "data"
    data.mkdir()
    socket = directory / "mariadb.sock"
    argv: list[str | Path] = ["mariadbd", "--no-defaults", "--innodb=OFF"]
    argv += ["--user=root"] if os.geteuid() == 0 else []  # it wants to be told
    argv += ["--default-storage-engine=Aria", "--performance-schema=OFF", "--skip-grant-tables", "--skip-networking"]
    argv += [f"--datadir={data}", f"--tmpdir={data}", f"--socket={socket}", f"--pid-file={directory / 'mariadb.pid'}"]
    with serving(dies_with_us(argv), log=directory / "mariadb.log", env=environment()) as server:
        server.printed("ready for connections")
        yield Database(socket)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
