"""What the schema cannot say: references, templates, URLs, names, files, and values that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path as FilePath
from typing import Any, TypeVar

from proxy_gen.errors import NameRefusedError, ProxyGenError
from proxy_gen.keys import KeyKind, load_private_key
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName
from ttscache.config.certificates import CertificateFileError, require_authorities, server_context
from ttscache.config.document import Document, Path
from ttscache.config.listen import Listen, ListenError, parse_listen
from ttscache.config.secrets import SecretError, read_secret, read_secret_file
from ttscache.config.settings import (
    AuthoritySettings,
    IssuerConfiguration,
    Profile,
    ServerSettings,
    SessionPolicy,
    Settings,
    StoreSettings,
    TlsSettings,
)
from ttscache.identity.claims import with_leading_slash
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.mapping.rules import Rule, When
from ttscache.mapping.template import Template, TemplateError
from ttscache.net.urls import is_loopback_host, unsafe_url_reason
from ttscache.store.sealing import SEALING_KEY_BYTES, SealingKey
from ttscache.upstream.settings import AuthMethod, ExchangeSettings

_Part = TypeVar("_Part")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_LEEWAY = 300
# two letters are fit in every place of a DN
_SAMPLE_CLAIM = "xx"
_EXPECTED = (SecretError, CertificateFileError, ProxyGenError, TemplateError, ListenError)


class Builder:
    """Builds settings out of a document; what is wrong gathers in ``mistakes``.

    Parts in which the schema found a fault (their paths are in ``broken``) are left out, so that the others are
    checked all the same.
    """

    def __init__(self, document: Document, directory: FilePath, *, broken: tuple[Path, ...]) -> None:
        self.mistakes: list[str] = []
        self._document = document
        self._root: Mapping[str, Any] = document.value
        self._directory = directory
        self._broken = broken

    def settings(self) -> Settings | None:
        """Return the settings, or None when a part could not be built."""
        server = self._attempt(("server",), self._server)
        issuers = [self._attempt(("issuers", i), self._issuer) for i in range(len(self._entries("issuers")))]
        profiles = {name: self._attempt(("profiles", name), self._profile) for name in self._profile_names()}
        rules = [self._attempt(("mapping", i), self._rule) for i in range(len(self._entries("mapping")))]
        authority = self._attempt(("authority",), self._authority)
        store = self._attempt(("store",), self._store)
        self._require_distinct("issuers")
        self._require_distinct("mapping")
        if self.mistakes or self._broken or server is None or authority is None or store is None:
            return None
        return Settings(
            server=server,
            issuers=tuple(issuer for issuer in issuers if issuer is not None),
            rules=tuple(rule for rule in rules if rule is not None),
            profiles={name: profile for name, profile in profiles.items() if profile is not None},
            authority=authority,
            store=store,
        )

    def _attempt(self, path: Path, build: Callable[[Path, Mapping[str, Any]], _Part]) -> _Part | None:
        part: Any = self._root
        for key in path:
            if isinstance(key, str) and key not in part:
                return None
            part = part[key]
        if any(broken[: len(path)] == path for broken in self._broken):
            return None
        return self._noted(path, lambda: build(path, part), None)

    def _entries(self, section: str) -> list[Any]:
        entries = self._root.get(section)
        return entries if isinstance(entries, list) else []

    def _names(self, section: str) -> list[str | None]:
        names = (entry.get("name") if isinstance(entry, dict) else None for entry in self._entries(section))
        return [name if isinstance(name, str) else None for name in names]

    def _profile_names(self) -> list[str]:
        profiles = self._root.get("profiles")
        return list(profiles) if isinstance(profiles, dict) else []

    def _noted(self, path: Path, build: Callable[[], _Part], otherwise: _Part) -> _Part:
        """Return what ``build`` returns; an expected error of its becomes a mistake at ``path``."""
        try:
            return build()
        except _EXPECTED as error:
            self._wrong(path, str(error))
            return otherwise

    @contextmanager
    def _noting(self, path: Path) -> Iterator[None]:
        """Turn an expected error into a mistake at ``path``."""
        try:
            yield
        except _EXPECTED as error:
            self._wrong(path, str(error))

    def _wrong(self, path: Path, message: str) -> None:
        self.mistakes.append(self._document.mistake(path, message))

    def _require_distinct(self, section: str) -> None:
        names = self._names(section)
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                self._wrong((section, index, "name"), f"the name '{name}' is there already")

    def _server(self, path: Path, part: Mapping[str, Any]) -> ServerSettings:
        listen = self._noted((*path, "listen"), lambda: parse_listen(part["listen"]), Listen("localhost", 0, None))
        if listen.unix_path is None and "tls" not in part and not is_loopback_host(listen.host):
            self._wrong((*path, "listen"), "without `tls` only a loopback address or a unix socket is listened on")
        public_url = part.get("public_url")
        if public_url is not None and (reason := unsafe_url_reason(public_url)):
            self._wrong((*path, "public_url"), reason)
        return ServerSettings(
            host=listen.host,
            port=listen.port,
            unix_path=None if listen.unix_path is None else self._directory / listen.unix_path,
            public_url=public_url,
            tls=self._tls((*path, "tls"), part["tls"]) if "tls" in part else None,
            deadline=self._seconds((*path, "deadline"), part["deadline"], at_least=1),
        )

    def _tls(self, path: Path, part: Mapping[str, Any]) -> TlsSettings:
        certificate, key = self._directory / part["cert"], self._directory / part["key"]
        with self._noting((*path, "key")):
            read_secret_file(key)
            with self._noting((*path, "cert")):
                server_context(certificate, key)
        return TlsSettings(certificate, key)

    def _issuer(self, path: Path, part: Mapping[str, Any]) -> IssuerConfiguration:
        if reason := unsafe_url_reason(part["url"]):
            self._wrong((*path, "url"), reason)
        leeway = self._seconds((*path, "leeway"), part["leeway"])
        if leeway > _MAX_LEEWAY:
            self._wrong((*path, "leeway"), "must be at most 5m: longer makes expired tokens good")
        ca_file = self._directory / part["ca_file"] if "ca_file" in part else None
        if ca_file is not None:
            with self._noting((*path, "ca_file")):
                require_authorities(ca_file)
        return IssuerConfiguration(
            identity=IssuerSettings(
                name=part["name"],
                url=part["url"],
                token_issuer=part.get("token_issuer", part["url"]),
                audiences=frozenset(part["audiences"]),
                algorithms=frozenset(part["algorithms"]),
                token_profile=TokenProfile(part["token_profile"]),
                leeway=leeway,
                ca_file=ca_file,
            ),
            exchange=self._exchange((*path, "exchange"), part["exchange"]) if "exchange" in part else None,
            session=self._session((*path, "session"), part["session"]),
        )

    def _exchange(self, path: Path, part: Mapping[str, Any]) -> ExchangeSettings:
        method = AuthMethod(part["auth_method"])
        wanted, other = "client_secret", "client_key"
        if method is AuthMethod.PRIVATE_KEY_JWT:
            wanted, other = other, wanted
        if other in part:
            self._wrong((*path, other), f"is not used with auth_method {method.value}")
        secret = ""
        if wanted not in part:
            self._wrong(path, f"the key '{wanted}' is missing, which auth_method {method.value} needs")
        else:
            with self._noting((*path, wanted)):
                secret = read_secret(part[wanted], self._directory)
                if method is AuthMethod.PRIVATE_KEY_JWT:
                    load_private_key(secret.encode())
        return ExchangeSettings(
            client_id=part["client_id"],
            secret=secret,
            auth_method=method,
            scopes=tuple(part["scopes"]),
            audience=part.get("audience"),
            key_id=part.get("client_key_id"),
        )

    def _session(self, path: Path, part: Mapping[str, Any]) -> SessionPolicy:
        names = (field.name for field in fields(SessionPolicy))
        policy = SessionPolicy(**{name: self._seconds((*path, name), part[name], at_least=1) for name in names})
        if policy.grace < policy.confirm:
            self._wrong((*path, "grace"), "must not be shorter than `confirm`")
        if policy.absolute < policy.confirm:
            self._wrong((*path, "absolute"), "must not be shorter than `confirm`")
        return policy

    def _profile(self, path: Path, part: Mapping[str, Any]) -> Profile:
        low, default, high = (
            int(self._seconds((*path, key), part[key], at_least=1))
            for key in ("min_lifetime", "lifetime", "max_lifetime")
        )
        if not low <= default <= high:
            self._wrong(path, "must have min_lifetime <= lifetime <= max_lifetime")
        return Profile(
            name=str(path[-1]),
            lifetime=default,
            min_lifetime=low,
            max_lifetime=high,
            key=KeyKind(part["key"]),
            limited=part["limited"],
            outlive_token=part["outlive_token"],
        )

    def _rule(self, path: Path, part: Mapping[str, Any]) -> Rule:
        for index, name in enumerate(part["profiles"]):
            if name not in self._profile_names():
                self._wrong((*path, "profiles", index), f"there is no profile '{name}' under `profiles`")
        account = self._template((*path, "account"), part["account"]) if "account" in part else None
        return Rule(
            name=part["name"],
            when=self._when((*path, "when"), part["when"]),
            dn=self._dn_template((*path, "dn"), part["dn"]),
            account=account,
            fqans=tuple(part["fqans"]),
            scopes=tuple(part["scopes"]),
            profiles=tuple(part["profiles"]),
            shared=part["shared"],
        )

    def _when(self, path: Path, part: Mapping[str, Any]) -> When:
        known = self._names("issuers")
        for name in _strings(part.get("issuer")):
            if name not in known:
                self._wrong((*path, "issuer"), f"there is no issuer '{name}' under `issuers`")
        return When(
            issuer=_strings(part.get("issuer")),
            sub=_strings(part.get("sub")),
            client_id=_strings(part.get("client_id")),
            groups=tuple(with_leading_slash(group) for group in _strings(part.get("groups"))),
            scopes=_strings(part.get("scopes")),
            entitlements=_strings(part.get("entitlements")),
            claims={name: _strings(values) for name, values in part.get("claims", {}).items()},
        )

    def _template(self, path: Path, text: str) -> Template:
        return self._noted(path, lambda: Template.parse(text), Template(()))

    def _dn_template(self, path: Path, text: str) -> Template:
        template = self._template(path, text)
        if template.pieces:
            with self._noting(path):
                if not template.literal_prefix.startswith("/"):
                    raise TemplateError(
                        "must be a DN in slash form that begins with a literal, such as /DC=ch/CN={sub}"
                    )
                sample = "".join(getattr(piece, "text", _SAMPLE_CLAIM) for piece in template.pieces)
                require_mintable(DistinguishedName.parse(sample))
                _require_quotable(template.literal_prefix)
        return template

    def _authority(self, path: Path, part: Mapping[str, Any]) -> AuthoritySettings:
        subject = DistinguishedName.parse(part["subject"])
        require_mintable(subject)
        _require_quotable(subject.slash)
        return AuthoritySettings(
            directory=self._directory / part["dir"],
            subject=subject,
            key=KeyKind(part["key"]),
            lifetime=self._seconds((*path, "lifetime"), part["lifetime"], at_least=3600),
        )

    def _store(self, path: Path, part: Mapping[str, Any]) -> StoreSettings:
        url = part["url"]
        file = None
        if url.startswith("sqlite:///") and url != "sqlite:///":
            file = self._directory / url.removeprefix("sqlite:///")
            if not file.parent.is_dir():
                self._wrong((*path, "url"), f"the directory {file.parent} does not exist")
            if not part["sealing_keys"]:
                self._wrong(path, "the key 'sealing_keys' is missing: what is stored is sealed")
        elif url != "memory:":
            self._wrong((*path, "url"), "must be sqlite:///PATH (four slashes for an absolute path) or memory:")
        keys = [self._sealing_key((*path, "sealing_keys", i), key) for i, key in enumerate(part["sealing_keys"])]
        if len({key.key_id for key in keys}) < len(keys):
            self._wrong((*path, "sealing_keys"), "two keys have one id")
        return StoreSettings(
            path=file,
            sealing_keys=tuple(keys),
            stale_for=self._seconds((*path, "stale_for"), part["stale_for"]),
        )

    def _sealing_key(self, path: Path, part: Mapping[str, Any]) -> SealingKey:
        material = b""
        with self._noting((*path, "file")):
            file = self._directory / part["file"]
            material = read_secret_file(file)
            if len(material) != SEALING_KEY_BYTES:
                raise SecretError(f"{file} is not exactly {SEALING_KEY_BYTES} bytes; make one: head -c 32 /dev/urandom")
        return SealingKey(part["id"], material)

    def _seconds(self, path: Path, text: str, *, at_least: int = 0) -> float:
        seconds = int(text[:-1]) * _UNITS[text[-1]]
        if seconds < at_least:
            self._wrong(path, f"must be at least {at_least}s")
        return float(seconds)


def _strings(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _require_quotable(name: str) -> None:
    """Refuse what would end a pattern of the CA's signing policy, or widen it."""
    for character in "\"'*":
        if character in name:
            raise NameRefusedError("name_character", f"a {character} cannot stand in a CA's signing policy")
