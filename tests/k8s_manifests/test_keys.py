"""Keys into a Secret, once: against an API server on loopback that answers what it is told to."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest
from click.testing import CliRunner, Result

from k8s_manifests import keys
from tests.tools.programs import PATIENCE, environment

PLANTED = b"hunter2-of-the-ca"
TOKEN = "hunter2-of-the-pod"
ENCODED = base64.b64encode(PLANTED).decode()

Answer = tuple[int, bytes]
Put = Callable[..., Result]


def status(code: int, reason: str, message: str = "") -> Answer:
    return code, json.dumps({"kind": "Status", "reason": reason, "message": message, "code": code}).encode()


MADE: Answer = 201, b'{"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "site-keys"}}'
THERE = status(409, "AlreadyExists", 'secrets "site-keys" already exists')
# a quota's counter that somebody else has changed at the same time
BUSY = status(409, "Conflict", "Operation cannot be fulfilled on resourcequotas")
AWAY = status(503, "ServiceUnavailable")


class Api:
    """An API server; it gives its answers one after the other, the last of them for ever."""

    def __init__(self) -> None:
        self.answers: Sequence[Answer | None] = [MADE]
        self.asked: list[tuple[str, str, Mapping[str, str], Any]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.asked.append((self.command, self.path, dict(self.headers), body))
                answer = api.answers[min(len(api.asked), len(api.answers)) - 1]
                if answer is None:
                    return  # the connection ends without a word
                self.send_response(answer[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    """Time that passes by sleeping alone; stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as running:
        yield running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(keys, "time", clock)
    return clock


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What the Job has made."""
    directory = tmp_path / "made"
    (directory / "ca").mkdir(parents=True)
    for name, content in {
        "ca/ca.key": PLANTED,
        "ca/ca.pem": b"certificate",
        "ca/.lock": b"x",
        "seal": bytes(32),
    }.items():
        (directory / name).write_bytes(content)
    (directory / "ca" / "deeper").mkdir()
    return directory


def kubeconfig(directory: Path, url: str, token: str = TOKEN) -> str:
    file = directory / "kubeconfig"
    document = {
        "current-context": "pod",
        "contexts": [{"name": "pod", "context": {"cluster": "here", "user": "pod"}}],
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "pod", "user": {"token": token}}],
    }
    file.write_text(json.dumps(document))
    return str(file)


def arguments(*paths: Path) -> list[str]:
    return ["--secret", "site-keys", "--namespace", "grid", *map(str, paths)]


@pytest.fixture
def put(api: Api, made: Path, tmp_path: Path) -> Put:
    """Run the command on these files; on those of the Job without any."""

    def run(*paths: Path, url: str = api.url, token: str = TOKEN) -> Result:
        given = arguments(*(paths or (made / "ca", made / "seal")))
        result = CliRunner().invoke(keys.main, given, env={"KUBECONFIG": kubeconfig(tmp_path, url, token)})
        assert result.output.count("\n") == 1, result.output
        assert not any(secret in result.output for secret in (PLANTED.decode(), ENCODED, token)), "it tells a secret"
        return result

    return run


def test_files_become_a_secret(api: Api, put: Put) -> None:
    result = put()
    assert (result.exit_code, result.output) == (0, "Secret grid/site-keys: made, with ca.key, ca.pem, seal\n")
    ((method, path, headers, body),) = api.asked
    assert (method, path) == ("POST", "/api/v1/namespaces/grid/secrets")
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert (body["metadata"]["name"], body["type"]) == ("site-keys", "Opaque")
    found = {name: base64.b64decode(content) for name, content in body["data"].items()}
    assert found == {"ca.key": PLANTED, "ca.pem": b"certificate", "seal": bytes(32)}


def test_one_that_is_there_stays_as_it_is(api: Api, put: Put) -> None:
    api.answers = [THERE]
    result = put()
    assert (result.exit_code, result.output) == (0, "Secret grid/site-keys: is there already, and stays as it is\n")
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "message",
    [
        'secrets is forbidden: User "system:serviceaccount:grid:site-keys" cannot create resource "secrets"',
        'secrets "site-keys" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=4',
    ],
)
def test_who_is_refused_reads_why(api: Api, put: Put, message: str) -> None:
    api.answers = [status(403, "Forbidden", message)]
    result = put()
    assert (result.exit_code, result.output) == (3, f"Error: the API server refuses: {message}\n")
    assert len(api.asked) == 1


def test_what_it_says_is_told_on_one_line_that_does_nothing(api: Api, put: Put) -> None:
    api.answers = [status(403, "Forbidden", "no\r\n\x1b[2Jhere" + "x" * 10_000)]
    result = put()
    assert result.exit_code == 3
    assert result.output.startswith("Error: the API server refuses: no   [2Jhere")
    assert len(result.output) < 600


@pytest.mark.parametrize("code", [400, 401, 422])
@pytest.mark.parametrize("body", [status(0, "Invalid", f"data: {ENCODED}")[1], ENCODED.encode(), b"[]"])
def test_other_refusals_are_not_repeated_in_its_words(api: Api, put: Put, code: int, body: bytes) -> None:
    api.answers = [(code, body)]
    result = put()
    assert result.exit_code == 3
    assert f"the API server refuses: {code}" in result.output


@pytest.mark.parametrize("trouble", [BUSY, AWAY, status(429, "TooManyRequests"), (500, b"<html>"), None])
def test_a_server_that_cannot_do_it_now_is_asked_again(
    api: Api, put: Put, clock: Clock, trouble: Answer | None
) -> None:
    api.answers = [trouble, trouble, MADE]
    assert put().exit_code == 0
    assert (len(api.asked), clock.pauses) == (3, [1, 2])


def test_one_that_made_it_and_could_not_say_so(api: Api, put: Put, clock: Clock) -> None:
    api.answers = [None, THERE]
    assert put().exit_code == 0


def test_not_for_ever(api: Api, put: Put, clock: Clock) -> None:
    api.answers = [AWAY]
    result = put()
    assert result.exit_code == 4
    assert result.output == "Error: the API server cannot do it now: 503 ServiceUnavailable\n"
    assert clock.pauses[:5] == [1, 2, 4, 8, 15]
    assert 100 < clock.now <= 120


def test_nobody_listens(put: Put, clock: Clock) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        result = put(url=f"http://127.0.0.1:{reserved.getsockname()[1]}")
    assert (result.exit_code, result.output) == (4, "Error: the API server cannot be reached: NewConnectionError\n")


def test_an_answer_that_is_nonsense_tells_nothing(api: Api, put: Put) -> None:
    api.answers = [(200, ENCODED.encode())]
    assert put().exit_code == 1


def test_a_token_that_no_header_takes_is_not_told(put: Put) -> None:
    assert put(token=f"{TOKEN}\nmore").exit_code == 1


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "no file to put"),
        ({"empty": b""}, "empty is empty"),
        ({"a key": b"x"}, "a key: keys of a Secret have"),
        ({"large": bytes(1 << 20), "more": b"x"}, "more than 1048576 bytes"),
    ],
)
def test_what_cannot_be_a_secret(api: Api, put: Put, tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    result = put(directory)
    assert result.exit_code == 2
    assert said in result.output
    assert not api.asked


def test_files_that_are_not_there_or_twice(api: Api, put: Put, made: Path) -> None:
    (made / "ca.key").write_bytes(b"another")
    for paths, said in {
        (made / "nowhere",): "nowhere cannot be read: No such file",
        (made / "ca", made / "ca.key"): "there is another file of this name",
    }.items():
        result = put(*paths)
        assert result.exit_code == 2
        assert said in result.output
    assert not api.asked


def test_outside_of_a_cluster(made: Path) -> None:
    names = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    result = CliRunner().invoke(keys.main, arguments(made / "seal"), env=dict.fromkeys(names))
    assert (result.exit_code, result.output) == (2, "Error: no way to the API server: Service host/port is not set.\n")


def test_as_a_program(api: Api, made: Path, tmp_path: Path) -> None:
    ours = environment(KUBECONFIG=kubeconfig(tmp_path, api.url), PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(
        [sys.executable, "-m", "k8s_manifests.keys", *arguments(made / "seal")],
        env=ours,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Secret grid/site-keys: made, with seal\n", "")
