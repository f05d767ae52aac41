"""Requests to a daemon, as plain as they can be made: by http.client, or as bytes on a socket."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.tools.programs import PATIENCE

JSON = {"Accept": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def code(self) -> object:
        return self.json.get("code")


@dataclass(frozen=True)
class Web:
    """A daemon's address, with the CAs to verify it by."""

    url: str
    ca_file: Path | None = None

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host, port = str(parts.hostname), parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=PATIENCE)
        return http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=self.context)

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = None,
    ) -> Answer:
        connection = self.connection()
        try:
            return ask(connection, method, path, headers, body, token)
        finally:
            connection.close()

    def get(self, path: str, token: str | None = None, **headers: str) -> Answer:
        return self.call("GET", path, {name.replace("_", "-"): value for name, value in headers.items()}, token=token)

    def post(self, path: str, document: object, token: str | None = None) -> Answer:
        return self.call("POST", path, JSON, json.dumps(document).encode(), token)

    def form(self, fields: Mapping[str, str] | list[tuple[str, str]]) -> Answer:
        return self.call("POST", "/token", FORM, urlencode(fields).encode())

    def raw(self, *chunks: bytes) -> Answer:
        """Send bytes as they are and read the one answer."""
        with self.socket() as stream:
            for chunk in chunks:
                stream.sendall(chunk)
            return read_answer(stream)

    def socket(self) -> socket.socket:
        parts = urlsplit(self.url)
        host, port = str(parts.hostname), parts.port
        plain = socket.create_connection((host, port or 0), timeout=PATIENCE)
        return plain if parts.scheme == "http" else self.context.wrap_socket(plain, server_hostname=host)


def read_answer(stream: socket.socket) -> Answer:
    answer = http.client.HTTPResponse(stream)
    try:
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        answer.close()


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    token: str | None = None,
) -> Answer:
    """Ask on a connection that stays open."""
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request(method, path, body=body, headers={**bearer, **(headers or {})})
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())
