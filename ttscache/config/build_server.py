"""The parts of a configuration that say where the daemon listens and where it stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ttscache.config.certificates import require_authorities, server_context
from ttscache.config.document import Path
from ttscache.config.listen import Listen, parse_listen
from ttscache.config.notes import Notes
from ttscache.config.secrets import SecretError, SecretReference, read_secret_file
from ttscache.config.settings import Limits, Rate, ServerSettings, StoreSettings, TlsSettings
from ttscache.net.urls import is_loopback_host, unsafe_url_reason
from ttscache.store.redis_address import RedisAddress
from ttscache.store.sealing import SEALING_KEY_BYTES, SealingKey

_REDIS_PORT = 6379


def server(notes: Notes, path: Path, part: Mapping[str, Any]) -> ServerSettings:
    """Build the server's part."""
    listen = notes.noted((*path, "listen"), lambda: parse_listen(part["listen"]), Listen("localhost", 0, None))
    if listen.unix_path is None and "tls" not in part and not is_loopback_host(listen.host):
        notes.wrong((*path, "listen"), "without `tls` only a loopback address or a unix socket is listened on")
    public_url = part.get("public_url")
    if public_url is not None and (reason := unsafe_url_reason(public_url)):
        notes.wrong((*path, "public_url"), reason)
    return ServerSettings(
        host=listen.host,
        port=listen.port,
        unix_path=None if listen.unix_path is None else notes.directory / listen.unix_path,
        public_url=public_url,
        tls=_tls(notes, (*path, "tls"), part["tls"]) if "tls" in part else None,
        deadline=notes.seconds((*path, "deadline"), part["deadline"], at_least=1),
    )


def store(notes: Notes, path: Path, part: Mapping[str, Any]) -> StoreSettings:
    """Build the store's part."""
    url = part["url"]
    file, address = None, None
    if url.startswith("sqlite:///") and url != "sqlite:///":
        file = notes.directory / url.removeprefix("sqlite:///")
        if not file.parent.is_dir():
            notes.wrong((*path, "url"), f"the directory {file.parent} does not exist")
    elif url.startswith(("redis:", "rediss:")):
        address = _redis(notes, path, part)
    elif url != "memory:":
        wanted = "sqlite:///PATH (four slashes for an absolute path), redis://HOST, rediss://HOST or memory:"
        notes.wrong((*path, "url"), f"must be {wanted}")
    if url != "memory:" and not part["sealing_keys"]:
        notes.wrong(path, "the key 'sealing_keys' is missing: what is stored is sealed")
    if address is None and not url.startswith("redis"):
        for name in ("password", "ca_file"):
            if name in part:
                notes.wrong((*path, name), "is for Redis only")
    keys = [_sealing_key(notes, (*path, "sealing_keys", i), key) for i, key in enumerate(part["sealing_keys"])]
    if len({key.key_id for key in keys}) < len(keys):
        notes.wrong((*path, "sealing_keys"), "two keys have one id")
    return StoreSettings(
        path=file,
        redis=address,
        sealing_keys=tuple(keys),
        stale_for=notes.seconds((*path, "stale_for"), part["stale_for"]),
    )


def limits(notes: Notes, path: Path, part: Mapping[str, Any]) -> Limits:
    """Build the limits."""
    return Limits(**{name: _rate(notes, (*path, name), part[name]) for name in ("identity", "address", "duplicates")})


def _rate(notes: Notes, path: Path, text: str) -> Rate:
    count, _, time = text.partition("/")
    return Rate(int(count), notes.seconds(path, time, at_least=1))


def _redis(notes: Notes, path: Path, part: Mapping[str, Any]) -> RedisAddress | None:
    """Read the address of Redis. A password never stands in the URL: URLs are shown."""
    try:
        url = urlsplit(part["url"])
        port = url.port or _REDIS_PORT
    except ValueError:
        url, port = urlsplit(""), 0
    database = url.path.removeprefix("/") or "0"
    if url.password is not None:
        notes.wrong((*path, "url"), "must hold no password; say `password: {file: PATH}`")
        return None
    if not url.hostname or url.query or url.fragment or not (database.isascii() and database.isdigit()):
        notes.wrong((*path, "url"), "must be redis://[USER@]HOST[:PORT][/DATABASE], or rediss: for TLS")
        return None
    tls = url.scheme == "rediss"
    ca_file = notes.directory / part["ca_file"] if "ca_file" in part else None
    if ca_file is not None:
        if not tls:
            notes.wrong((*path, "ca_file"), "is for rediss: only, which speaks TLS")
        with notes.noting((*path, "ca_file")):
            require_authorities(ca_file)
    password = None
    if "password" in part:
        with notes.noting((*path, "password")):
            password = SecretReference.of(part["password"], notes.directory).read()
    user = unquote(url.username) if url.username else None
    return RedisAddress(url.hostname, port, int(database), tls, user, password, ca_file)


def _tls(notes: Notes, path: Path, part: Mapping[str, Any]) -> TlsSettings:
    certificate, key = notes.directory / part["cert"], notes.directory / part["key"]
    with notes.noting((*path, "key")):
        read_secret_file(key)
        with notes.noting((*path, "cert")):
            server_context(certificate, key)
    return TlsSettings(certificate, key)


def _sealing_key(notes: Notes, path: Path, part: Mapping[str, Any]) -> SealingKey:
    material = b""
    with notes.noting((*path, "file")):
        file = notes.directory / part["file"]
        material = read_secret_file(file)
        if len(material) != SEALING_KEY_BYTES:
            raise SecretError(f"{file} is not exactly {SEALING_KEY_BYTES} bytes; make one: head -c 32 /dev/urandom")
    return SealingKey(part["id"], material)
