"""Puts key files into a Secret, once: ``python -m k8s_manifests.keys --secret NAME --namespace NS FILE_OR_DIR...``.

It runs in a pod whose service account may create Secrets and do nothing else with them: it can neither see nor change
one. A Secret of that name that is there already stays as it is, whatever is in it. A file's name is its key in the
Secret; of a directory all files are taken but hidden ones.

Exit status: 0 the Secret is there, 1 a fault of ours, 2 usage, 3 refused, 4 the API server does not answer. Nothing
secret is ever printed.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api, V1ObjectMeta, V1Secret

# as the API server has it (MaxSecretSize)
_MOST_BYTES = 1 << 20
# by which it is found when the site is taken down with its data
_LABELS = {"app.kubernetes.io/part-of": "stateless-site"}
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_REQUEST_SECONDS = 10.0
_LONGEST_PAUSE = 15.0
_LONGEST_LINE = 500

_FORBIDDEN, _NOT_FOUND, _CONFLICT, _TOO_MANY, _FAULT = 403, 404, 409, 429, 500


class UsageError(click.ClickException):
    """What was given cannot be put into a Secret."""

    exit_code = 2


class FaultError(click.ClickException):
    """A fault of ours, or of a library's."""

    exit_code = 1


class RefusedError(click.ClickException):
    """The API server has said no; asking again changes nothing."""

    exit_code = 3


class UnavailableError(click.ClickException):
    """The API server did not answer, or could not; it may later."""

    exit_code = 4


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--secret", required=True, help="Name of the Secret; one that is there already stays as it is.")
@click.option("--namespace", required=True, help="Its namespace.")
@click.option(
    "--patience", default=120.0, show_default=True, help="Seconds to go on asking an API server that does not answer."
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE_OR_DIR...")
def main(secret: str, namespace: str, patience: float, paths: tuple[Path, ...]) -> None:
    """Put key files into a new Secret."""
    try:
        content = gather(paths)
        with _connected() as client:
            made = create(CoreV1Api(client), namespace, secret, content, patience)
    except click.ClickException:
        raise
    except Exception as error:  # noqa: BLE001 - its message, or a traceback's, may hold a key or the token
        raise FaultError(f"internal error: {type(error).__name__}; please report it") from None
    outcome = f"made, with {', '.join(sorted(content))}" if made else "is there already, and stays as it is"
    click.echo(f"Secret {namespace}/{secret}: {outcome}")


def gather(paths: Iterable[Path]) -> dict[str, bytes]:
    """Return the files' contents by their names. Raises :class:`UsageError`."""
    found: dict[str, bytes] = {}
    try:
        for file in _files(paths):
            if not _KEY.fullmatch(file.name):
                raise UsageError(f"{file}: keys of a Secret have letters, digits, '-', '_' and '.' only")
            if file.name in found:
                raise UsageError(f"{file}: there is another file of this name")
            with file.open("rb") as stream:
                found[file.name] = stream.read(_MOST_BYTES + 1)
            if not found[file.name]:
                raise UsageError(f"{file} is empty")
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    if not found:
        raise UsageError("there is no file to put into a Secret")
    if sum(map(len, found.values())) > _MOST_BYTES:
        raise UsageError(f"the files have more than {_MOST_BYTES} bytes, the most that a Secret holds")
    return found


def create(api: CoreV1Api, namespace: str, name: str, content: dict[str, bytes], patience: float) -> bool:
    """Create a Secret; False when there is one of that name already.

    For ``patience`` seconds an API server that does not answer is asked again. Raises :class:`RefusedError` and
    :class:`UnavailableError`.
    """
    data: dict[str, bytes | str] = {key: base64.b64encode(value).decode() for key, value in content.items()}
    secret = V1Secret(metadata=V1ObjectMeta(name=name, labels=_LABELS), type="Opaque", data=data)
    deadline, pause = time.monotonic() + patience, 1.0
    while True:
        try:
            api.create_namespaced_secret(namespace, secret, _request_timeout=_REQUEST_SECONDS)
            return True
        except ApiException as error:
            if _said(error, "reason") == "AlreadyExists":
                return False
            failure = _failure(error)
        except urllib3.exceptions.HTTPError as error:
            failure = UnavailableError(f"the API server cannot be reached: {type(error).__name__}")
        if isinstance(failure, RefusedError) or time.monotonic() + pause > deadline:
            raise failure
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
        else:
            yield path


def _connected() -> ApiClient:
    """Return a client as the pod's service account, or as KUBECONFIG says. Raises :class:`UsageError`."""
    settings = Configuration()
    try:
        if kubeconfig := os.environ.get("KUBECONFIG"):
            config.load_kube_config(kubeconfig, client_configuration=settings)
        else:
            config.load_incluster_config(client_configuration=settings)
    except config.ConfigException as error:
        raise UsageError(f"no way to the API server: {error}") from None
    settings.retries = False  # `create` knows what may be tried again
    return ApiClient(settings)


def _failure(error: ApiException) -> RefusedError | UnavailableError:
    """Return what an answer means. Only where it says who may not do what, or which quota is full, is it repeated."""
    status = error.status or 0
    if status in {_FORBIDDEN, _NOT_FOUND}:
        return RefusedError(f"the API server refuses: {_said(error, 'message') or status}")
    told = f"{status} {_said(error, 'reason')}".strip()
    if not status:
        return UnavailableError("the API server cannot be reached: TLS fails, is its CA another one?")
    # a conflict of another kind is a quota's that somebody else has just used as well
    if status in {_CONFLICT, _TOO_MANY} or status >= _FAULT:
        return UnavailableError(f"the API server cannot do it now: {told}")
    return RefusedError(f"the API server refuses: {told}")


def _said(error: ApiException, field: str) -> str:
    """Return a field of the answer's Status on one line, or nothing where the answer is something else."""
    try:
        status = json.loads(error.body or "")
    except ValueError:
        return ""
    said = status.get(field) if isinstance(status, dict) else None
    return "".join(each if each.isprintable() else " " for each in str(said or ""))[:_LONGEST_LINE]


if __name__ == "__main__":
    main()
