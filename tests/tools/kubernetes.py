"""A Kubernetes API server on loopback, as far as applying objects goes, from a thread of this process.

It keeps objects, applies them on its side (dry runs too), tells fields that may not change, and reports workloads as
ready. What it answers was taken down from a real API server's answers; tests/cluster asks a real one the same things.
"""

import asyncio
import copy
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import yaml
from aiohttp import WSMsgType, web

from tests.tools.programs import PATIENCE

Object = dict[str, Any]
# what a request is answered with instead; None lets it pass
Fault = Callable[[str, str, str], web.Response | None]

_CLUSTER_KINDS = frozenset({"Namespace", "ClusterRole", "ClusterRoleBinding", "StorageClass", "PriorityClass"})
_KINDS: dict[str, tuple[str, ...]] = {
    "v1": (
        "Namespace", "ConfigMap", "Secret", "Service", "ServiceAccount", "Pod", "PersistentVolumeClaim", "Event",
    ),
    "apps/v1": ("Deployment", "StatefulSet", "DaemonSet"),
    "batch/v1": ("Job", "CronJob"),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("NetworkPolicy", "Ingress"),
    "rbac.authorization.k8s.io/v1": ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "storage.k8s.io/v1": ("StorageClass",),
}  # fmt: skip
_IRREGULAR = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses", "StorageClass": "storageclasses"}
_PODS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job"})


def plural(kind: str) -> str:
    return _IRREGULAR.get(kind, f"{kind.lower()}s")


class Kubernetes:
    """An API server that listens while the block runs. ``kubeconfig`` is written for it.

    ``fault`` sees each request's method, kind and name first. ``stuck`` are workloads that do not become ready.
    ``commands`` answers what is run in containers: (pod, container, command) to output. ``applied`` are the names of
    objects that were really applied, in their order.
    """

    def __init__(self, directory: Path) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.applied: list[str] = []
        self.fault: Fault = lambda _method, _kind, _name: None
        self.stuck: set[str] = set()
        self.commands: Callable[[str, str, list[str]], str] = lambda _pod, _container, _command: ""
        self.kubeconfig = directory / "kubeconfig"
        self._owned: dict[tuple[str, str, str], dict[str, Object]] = {}
        self._counter = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(PATIENCE)
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": self.url}}],
                    "users": [{"name": "u", "user": {"token": "of-the-kubeconfig"}}],
                    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "here",
                }
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        """Refuse connections from now on."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(PATIENCE)

    def put(self, api_version: str, kind: str, namespace: str, name: str, **fields: Any) -> Object:  # noqa: ANN401 - JSON
        """Have an object there that nobody applied."""
        metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **fields.pop("metadata", {})}
        item: Object = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
        self.objects[kind, namespace, name] = item
        return item

    def secret(self, namespace: str, name: str, *keys: str) -> None:
        self.put("v1", "Secret", namespace, name, data=dict.fromkeys(keys, "cGxhbnRlZC1zZWNyZXQ="))

    def named(self, kind: str, name: str) -> Object:
        found = [item for (its_kind, _, its_name), item in self.objects.items() if (its_kind, its_name) == (kind, name)]
        assert len(found) == 1, sorted(self.objects)
        return found[0]

    async def _listen(self) -> str:
        application = web.Application(client_max_size=8 * 1024 * 1024)
        routes = application.router
        routes.add_get("/version", _answering({"major": "1", "minor": "33", "gitVersion": "v1.33.0"}))
        routes.add_get("/.well-known/openid-configuration", _answering({"issuer": "https://cluster.example"}))
        routes.add_get("/api", _answering({"kind": "APIVersions", "versions": ["v1"]}))
        routes.add_get("/apis", _answering(_groups()))
        routes.add_get("/api/v1", _answering(_resources("v1")))
        routes.add_get("/apis/{group}/{version}", self._discover)
        routes.add_get("/api/v1/namespaces/{namespace}/pods/{name}/exec", self._exec)
        for prefix in ("/api/v1", "/apis/{group}/{version}"):
            for scope in ("", "/namespaces/{namespace}"):
                routes.add_route("*", f"{prefix}{scope}/{{plural}}", self._answer)
                routes.add_route("*", f"{prefix}{scope}/{{plural}}/{{name}}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def _discover(self, request: web.Request) -> web.Response:
        group = f"{request.match_info['group']}/{request.match_info['version']}"
        if group not in _KINDS:
            return failure(404, "NotFound", "the server could not find the requested resource")
        return await _json(_resources(group))

    async def _answer(self, request: web.Request) -> web.Response:
        at = request.match_info
        group = f"{at['group']}/{at['version']}" if "group" in at else "v1"
        kind = next((each for each in _KINDS.get(group, ()) if plural(each) == at["plural"]), None)
        if kind is None:
            return failure(404, "NotFound", "the server could not find the requested resource")
        name, namespace = at.get("name", ""), at.get("namespace", "")
        if kind == "Namespace":
            namespace = ""
        refused = self.fault(request.method, kind, name)
        if refused is not None:
            return refused
        if not name:
            return await self._listed(request, group, kind, namespace)
        key = (kind, namespace, name)
        if request.method == "PATCH":
            return await self._apply(request, key)
        if key not in self.objects:
            return failure(404, "NotFound", f'{plural(kind)} "{name}" not found')
        if request.method == "DELETE":
            del self.objects[key]
            self._owned.pop(key, None)
            return await _json({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        return await _json(self.objects[key])

    async def _listed(self, request: web.Request, group: str, kind: str, namespace: str) -> web.Response:
        wanted = [each.split("=") for each in request.query.get("labelSelector", "").split(",") if each]
        items = [
            item
            for (its_kind, its_namespace, _), item in self.objects.items()
            if its_kind == kind
            and its_namespace == namespace
            and all(item["metadata"].get("labels", {}).get(label) == value for label, value in wanted)
        ]
        return await _json({"apiVersion": group, "kind": f"{kind}List", "metadata": {}, "items": items})

    async def _apply(self, request: web.Request, key: tuple[str, str, str]) -> web.Response:
        assert request.content_type == "application/apply-patch+yaml"
        assert request.query["fieldManager"]
        kind, namespace, name = key
        if namespace and ("Namespace", "", namespace) not in self.objects:
            return failure(404, "NotFound", f'namespaces "{namespace}" not found')
        body: Object = yaml.safe_load(await request.read())
        live = self.objects.get(key)
        if kind == "Job" and live is not None and live["spec"]["template"] != body["spec"]["template"]:
            return failure(422, "Invalid", f'Job.batch "{name}" is invalid: spec.template: field is immutable')
        manager = request.query["fieldManager"]
        owners = self._owned.get(key, {})
        others = [said for name, said in owners.items() if name != manager]
        merged = _applied(live or {}, owners.get(manager, {}), others, body)
        merged["metadata"].setdefault("uid", f"uid-{next(self._counter)}")
        if live is None or _without_state(merged) != _without_state(live):
            merged["metadata"]["resourceVersion"] = str(next(self._counter))
            merged["metadata"]["generation"] = merged["metadata"].get("generation", 0) + 1
        if kind in _PODS and name not in self.stuck:
            merged["status"] = _ready(merged)
        if "All" not in request.query.getall("dryRun", []):
            self.objects[key] = merged
            self._owned[key] = {**owners, manager: body}
            self.applied.append(f"{kind}/{name}")
        return await _json(merged)

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        """Run a command: frames of the channel protocol, 1 for output and 3 for how it ended."""
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        name, container = request.match_info["name"], request.query["container"]
        output = self.commands(name, container, request.query.getall("command"))
        await socket.send_bytes(b"\x01" + output.encode())
        await socket.send_bytes(b"\x03" + json.dumps({"metadata": {}, "status": "Success"}).encode())
        await socket.close()
        async for message in socket:
            assert message.type is not WSMsgType.ERROR
        return socket


def failure(status: int, reason: str, message: str) -> web.Response:
    """What an API server says no with."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return web.json_response(body | {"message": message, "reason": reason, "code": status}, status=status)


def _answering(document: object) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return await _json(document)

    return answer


async def _json(document: object) -> web.Response:
    return web.json_response(document)


def _groups() -> Object:
    groups: dict[str, list[str]] = {}
    for each in _KINDS:
        if "/" in each:
            groups.setdefault(each.split("/")[0], []).append(each)
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": name,
                "versions": [{"groupVersion": each, "version": each.split("/")[1]} for each in versions],
                "preferredVersion": {"groupVersion": versions[0], "version": versions[0].split("/")[1]},
            }
            for name, versions in groups.items()
        ],
    }


def _resources(group: str) -> Object:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    resources = [
        {
            "name": plural(kind),
            "singularName": "",
            "namespaced": kind not in _CLUSTER_KINDS,
            "kind": kind,
            "verbs": verbs,
        }
        for kind in _KINDS[group]
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources}


def _applied(live: Any, owned: Any, others: list[Any], body: Any) -> Any:  # noqa: ANN401 - JSON
    """Merge as server-side apply does: what we alone owned and say no more goes, what others set stays."""
    if not (isinstance(live, dict) and isinstance(body, dict)):
        return copy.deepcopy(body)
    owned, others = owned if isinstance(owned, dict) else {}, [each for each in others if isinstance(each, dict)]
    theirs = {name for each in others for name in each}
    kept = {
        name: copy.deepcopy(value)
        for name, value in live.items()
        if name in body or name not in owned or name in theirs
    }
    return kept | {
        name: _applied(live.get(name), owned.get(name), [each.get(name) for each in others], value)
        for name, value in body.items()
    }


def _without_state(item: Object) -> Object:
    return {name: value for name, value in item.items() if name != "status"}


def _ready(item: Object) -> Object:
    wanted = item["spec"].get("replicas", 1)
    names = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    counted = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
    return {
        "observedGeneration": item["metadata"]["generation"],
        "conditions": [{"type": "Complete", "status": "True"}] if item["kind"] == "Job" else [],
        **dict.fromkeys(names, wanted),
        **dict.fromkeys(counted, 1),
    }
