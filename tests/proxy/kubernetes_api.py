"""A small API server of Kubernetes: lists and watches of Services and EndpointSlices in one namespace."""

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.gateway.nginx import free_port
from tests.proxy.server_thread import ServerThread

SERVICES = "/api/v1/namespaces/nim/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/nim/endpointslices"


class KubernetesApi:
    """Objects by path and name. Each change has a version; no watch may begin before `oldest`."""

    def __init__(self) -> None:
        self.port, self.version, self.oldest = free_port(), 10, 0
        self.objects: dict[str, dict[str, Any]] = {SERVICES: {}, SLICES: {}}
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.lists = self.watches = self.open = self.gone = 0
        self.broken = False
        self._cut = asyncio.Event()
        self._server = ServerThread(self._app, self.port)

    def start(self) -> "KubernetesApi":
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()

    def config(self, path: Path) -> str:
        """Write a kubeconfig for this server; return its path."""
        word = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {}}],
        }
        path.write_text(json.dumps(word))
        return str(path)

    def set(self, path: str, name: str, labels: dict[str, str], **more: Any) -> None:
        """Add or change an object."""
        known = name in self.objects[path]
        self.version += 1
        meta = {"name": name, "labels": labels, "resourceVersion": str(self.version), **more.pop("meta", {})}
        self.objects[path][name] = {"metadata": meta, **more}
        event = {"type": "MODIFIED" if known else "ADDED", "object": self.objects[path][name]}
        self.history.append((self.version, path, event))

    def remove(self, path: str, name: str) -> None:
        self.version += 1
        self.history.append((self.version, path, {"type": "DELETED", "object": self.objects[path].pop(name)}))

    def cut(self, *, forget: bool) -> None:
        """End all watches; `forget` the history, so that a watch cannot go on where it ended."""
        if forget:
            self.version += 5
            self.oldest = self.version
        self._server.call(self._cut.set)

    def _app(self) -> web.Application:
        app = web.Application()
        for path in (SERVICES, SLICES):
            app.router.add_get(path, self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.broken:
            return web.json_response({"message": "etcd is away"}, status=500)
        selector = request.query.get("labelSelector", "")
        if request.query.get("watch") in ("true", "True", "1"):
            self.open += 1
            try:
                return await self._watch(request, selector)
            finally:
                self.open -= 1
        self.lists += 1
        items = [one for one in self.objects[request.path].values() if _matches(one, selector)]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _watch(self, request: web.Request, selector: str) -> web.StreamResponse:
        self.watches += 1
        at = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if at < self.oldest:
            self.gone += 1
            status = {"code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        while not self._cut.is_set():
            for version, path, event in list(self.history):
                if version > at and path == request.path and _matches(event["object"], selector):
                    await response.write(json.dumps(event).encode() + b"\n")
                    at = version
            await asyncio.sleep(0.02)
        asyncio.get_running_loop().call_later(0.1, self._cut.clear)
        return response


def _matches(one: dict[str, Any], selector: str) -> bool:
    """Return whether an object has the labels of a selector `name=value` or `name`."""
    name, _, value = selector.partition("=")
    labels = one["metadata"]["labels"]
    return name in labels and (not value or labels[name] == value)
