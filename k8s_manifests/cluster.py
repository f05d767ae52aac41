"""One cluster, as its API server tells of it. The only module that speaks to Kubernetes.

Every request has a time limit, and every failure is one of errors.py's with one line that says what to do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import urllib3
import websocket
import yaml
from kubernetes import client, config, dynamic, stream
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from k8s_manifests.errors import ClusterRefusedError, ClusterUnavailableError, SiteError, ToolError
from k8s_manifests.helm import Target
from k8s_manifests.objects import Key, Object, key_of

FIELD_MANAGER = "ttscache-site"
_SECONDS = 40  # more than an admission webhook may take (30 s), so that its timeout is told and not ours
_EXEC_SECONDS = 20
_MAX_MESSAGE = 600


class Api:
    """A cluster's API; use it as a context manager. Constructing it reads the kubeconfig and asks nothing."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        """Read the kubeconfig. Raises ToolError when it cannot be used."""
        self._stack = ExitStack()
        # the library looks at the variable once, when it is imported
        where = str(kubeconfig or os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser())
        try:
            api = config.new_client_from_config(config_file=where, context=context)
        except (config.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
            # what YAML complains of it quotes, and that may be a credential
            why = "it is not YAML" if isinstance(error, yaml.YAMLError) else " ".join(str(error).split())[:_MAX_MESSAGE]
            raise ToolError("kubeconfig_invalid", f"the kubeconfig {where} cannot be used: {why}") from None
        # the library would try three times, each with our time limit; whoever calls us can do that as well
        api.rest_client.pool_manager.connection_pool_kw["retries"] = False
        self._client: client.ApiClient = self._stack.enter_context(api)
        self._found: dynamic.DynamicClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self._client.configuration.host)

    def get(self, key: Key) -> Object | None:
        """Return an object, or None. Raises SiteError."""
        resource = self._resource(key.api_version, key.kind)
        if resource is None:
            return None
        with told(f"{key} cannot be read"):
            try:
                answer = resource.get(name=key.name, namespace=key.namespace or None, _request_timeout=_SECONDS)
            except dynamic.exceptions.NotFoundError:
                return None
        return _plain(answer)

    def list(self, api_version: str, kind: str, namespace: str, labels: str = "", fields: str = "") -> list[Object]:
        """Return the objects of a kind in a namespace. Raises SiteError."""
        resource = self._known(api_version, kind)
        with told(f"{kind}s of namespace {namespace} cannot be listed"):
            answer = resource.get(
                namespace=namespace, label_selector=labels, field_selector=fields, _request_timeout=_SECONDS
            )
        items: list[Object] = _plain(answer).get("items") or []
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    def require(self, api_version: str, kind: str) -> None:
        """Raise ClusterRefusedError when the cluster does not know a kind."""
        self._known(api_version, kind)

    def apply(self, item: Object, *, dry_run: bool, manager: str = FIELD_MANAGER) -> Object:
        """Apply an object on the server's side, and return what it is then. Raises SiteError.

        Fields that somebody else set differently are taken over: the charts are the one source.
        """
        key = key_of(item)
        resource = self._known(key.api_version, key.kind)
        with told(f"{key} is refused"):
            answer = resource.server_side_apply(
                body=dict(item),
                name=key.name,
                namespace=key.namespace or None,
                field_manager=manager,
                force_conflicts=True,
                dry_run="All" if dry_run else None,
                _request_timeout=_SECONDS,
            )
        return _plain(answer)

    def delete(self, key: Key) -> bool:
        """Delete an object, and what it owns behind it. Returns whether it was there. Raises SiteError."""
        resource = self._resource(key.api_version, key.kind)
        if resource is None:
            return False
        with told(f"{key} cannot be deleted"):
            try:
                resource.delete(
                    name=key.name,
                    namespace=key.namespace or None,
                    body={"propagationPolicy": "Background"},
                    _request_timeout=_SECONDS,
                )
            except dynamic.exceptions.NotFoundError:
                return False
        return True

    def target(self) -> Target:
        """Return what the cluster can do. Raises SiteError."""
        version = self._json("/version")["gitVersion"].partition("-")[0].partition("+")[0]
        with told(f"the cluster at {self.server} cannot be asked"):
            every = [each for found in self._dynamic().resources for each in found]
        known = {f"{each.group_version}/{each.kind}" for each in every if not each.kind.endswith("List")}
        groups = {name.rpartition("/")[0] for name in known}
        return Target(version, tuple(sorted(known | groups)))

    def token_issuer(self) -> str | None:
        """Return what `iss` of service account tokens says, or None where we may not know."""
        try:
            return str(self._json("/.well-known/openid-configuration")["issuer"])
        except (ClusterRefusedError, KeyError):
            return None

    def run(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
        """Run a command in a container and return what it prints, errors as well. Raises SiteError."""
        with told(f"pod {namespace}/{pod} cannot be asked"):
            running = stream.stream(
                client.CoreV1Api(self._client).connect_get_namespaced_pod_exec,
                pod,
                namespace,
                container=container,
                command=list(command),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _request_timeout=_EXEC_SECONDS,
                _preload_content=False,
            )
            try:
                running.run_forever(timeout=_EXEC_SECONDS)
                return str(running.read_all())
            finally:
                # where the other side has closed first, the library's own `close` leaves the socket open
                running.sock.shutdown()

    def _json(self, path: str) -> Mapping[str, Any]:
        with told(f"{self.server}{path} cannot be read"):
            raw = self._dynamic().request("GET", path, serialize=False, _request_timeout=_SECONDS)
        answer: Mapping[str, Any] = json.loads(raw.data)
        return answer

    def _dynamic(self) -> dynamic.DynamicClient:
        if self._found is None:
            # the library keeps what it discovers in a file; its default place is a foreseeable name in /tmp
            cache = self._stack.enter_context(TemporaryDirectory(prefix="ttscache-site-"))
            with told(f"the cluster at {self.server} cannot be asked"):
                self._found = dynamic.DynamicClient(self._client, cache_file=f"{cache}/discovered.json")
        return self._found

    def _resource(self, api_version: str, kind: str) -> dynamic.Resource | None:
        found = self._dynamic()
        with told(f"the cluster at {self.server} cannot be asked"):
            try:
                resource: dynamic.Resource = found.resources.get(api_version=api_version, kind=kind)
            except ResourceNotFoundError:
                return None
        return resource

    def _known(self, api_version: str, kind: str) -> dynamic.Resource:
        resource = self._resource(api_version, kind)
        if resource is None:
            raise ClusterRefusedError(
                "kind_unknown",
                f"the cluster at {self.server} has no {kind} of {api_version}; install what brings it, or switch off"
                " what needs it in the site file",
            )
        return resource


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn the library's failures into ours. ``what`` is the beginning of the message."""
    try:
        yield
    except SiteError:
        raise
    except client.ApiException as error:
        raise _refusal(what, error) from None
    except (urllib3.exceptions.HTTPError, websocket.WebSocketException, OSError) as error:
        raise ClusterUnavailableError("cluster_unreachable", f"{what}: {_reason(error)}") from None


def _refusal(what: str, error: client.ApiException) -> SiteError:
    """Return our error for an answer of the API server's."""
    message = _message(error)
    code, kind, hint = _CODES.get(error.status, ("cluster_refused", ClusterRefusedError, ""))
    if "failed calling webhook" in message:
        code, kind = "webhook_failed", ClusterUnavailableError
        hint = "; see to that webhook's service, then run it again"
    elif "typed patch object" in message:  # a field of the wrong type, which the server takes for a fault of its own
        code, kind, hint = "object_invalid", ClusterRefusedError, ""
    elif error.status >= _SERVER_FAULT and code == "cluster_refused":
        code, kind, hint = "cluster_unavailable", ClusterUnavailableError, "; run it again"
    return kind(code, f"{what}: {message}{hint}")


_SERVER_FAULT = 500
_CODES: Mapping[int, tuple[str, type[ClusterRefusedError | ClusterUnavailableError], str]] = {
    0: ("cluster_unreachable", ClusterUnavailableError, ""),
    401: ("cluster_unauthorized", ClusterRefusedError, "; are the kubeconfig's credentials still good?"),
    403: ("cluster_forbidden", ClusterRefusedError, "; docs/site.md lists the rights that are needed"),
    404: ("cluster_not_found", ClusterRefusedError, ""),
    422: ("object_invalid", ClusterRefusedError, ""),
    429: ("cluster_unavailable", ClusterUnavailableError, "; run it again"),
}


def _message(error: client.ApiException) -> str:
    try:
        message = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        message = error.reason or f"HTTP status {error.status}"
    return " ".join(str(message).split())[:_MAX_MESSAGE]


def _reason(error: Exception) -> str:
    """Return what a transport error says, without the objects that it prints of itself."""
    inner = getattr(error, "reason", None) or error
    text = str(inner).rpartition(">: ")[2] or type(inner).__name__
    return " ".join(text.split())[:_MAX_MESSAGE]


def _plain(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - the library's
    plain: dict[str, Any] = answer.to_dict()
    return plain
