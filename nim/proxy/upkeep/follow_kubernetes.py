"""Find backends in Kubernetes: Services with a label, and the ready endpoints of each."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from nim.errors import PreflightError
from nim.proxy.backend_services import LEAST, ROUTINGS, Backend, Kubernetes
from nim.proxy.upstreams import address

log = logging.getLogger(__name__)

SERVICE_NAME = "kubernetes.io/service-name"
ROUTING = "nim-proxy/routing"
# Names of the port that serves the API, of this project's chart, the NIM operator and others.
PORT_NAMES = ("http", "api", "http-openai", "service-port")
# The server ends a watch after this time, and the next one begins with a new list.
WATCH_SECONDS = 300
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
# Changes come in bursts: a rollout changes several endpoints within moments.
SETTLE_SECONDS = 0.2

Object = Mapping[str, Any]


class KubernetesFollower:
    """Lists and watches Services and EndpointSlices; `found` gets the backends after each change."""

    def __init__(
        self, wanted: Kubernetes, environ: Mapping[str, str], found: Callable[[tuple[Backend, ...]], None]
    ) -> None:
        self._wanted, self._environ, self._found = wanted, environ, found
        self._objects: dict[str, dict[str, Object]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._client: Any = None

    async def begin(self) -> None:
        """Connect to the API server that the environment names, and begin; PreflightError without one."""
        try:
            from kubernetes_asyncio import client, config
        except ImportError:
            raise PreflightError(
                "cannot find backends in Kubernetes: the Python package kubernetes-asyncio is not installed",
                hint="pip install 'nim[kubernetes]'",
            ) from None
        configuration = client.Configuration()
        try:
            if "KUBERNETES_SERVICE_HOST" in self._environ and "KUBECONFIG" not in self._environ:
                config.load_incluster_config(client_configuration=configuration)
            else:
                await config.load_kube_config(
                    config_file=self._environ.get("KUBECONFIG"), client_configuration=configuration
                )
        except config.ConfigException as error:
            raise PreflightError(
                f"cannot find backends in Kubernetes: {error}", hint="KUBECONFIG=…, or run it in the cluster"
            ) from None
        self._client = client.ApiClient(configuration)
        services = client.CoreV1Api(self._client).list_namespaced_service
        slices = client.DiscoveryV1Api(self._client).list_namespaced_endpoint_slice
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._follow("services", services, self._wanted.selector)),
            loop.create_task(self._follow("endpoints", slices, SERVICE_NAME)),
            loop.create_task(self._report()),
        ]

    async def stop(self) -> None:
        """Watch no more, and close the connections."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._client is not None:
            await self._client.close()

    async def _follow(self, kind: str, listed: Callable[..., Any], selector: str) -> None:
        """List and watch one kind of objects, again whenever a watch ends or fails; what is known stays."""
        pause = FIRST_PAUSE_SECONDS
        failed = False
        while True:
            try:
                version = await self._list(kind, listed, selector)
                if failed:
                    log.info("the API server of Kubernetes answers for %s again", kind)
                failed, pause = False, FIRST_PAUSE_SECONDS
                await self._watch(kind, listed, selector, version)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if _is_gone(error):
                    continue  # its history does not reach back so far: a new list is needed
                if not failed:
                    log.warning("cannot follow the %s in Kubernetes: %s", kind, _why(error))
                failed = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _list(self, kind: str, listed: Callable[..., Any], selector: str) -> str:
        """Take over all objects of a kind; return the version of the list."""
        answer = await listed(
            self._wanted.namespace, label_selector=selector, _preload_content=False, _request_timeout=30
        )
        document = json.loads(await answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {document.get('message', '')}")
        self._objects[kind] = {one["metadata"]["name"]: one for one in document.get("items") or ()}
        self._changed.set()
        return str(document["metadata"]["resourceVersion"])

    async def _watch(self, kind: str, listed: Callable[..., Any], selector: str, version: str) -> None:
        """Take over changes until the server ends the watch."""
        from kubernetes_asyncio.watch import Watch

        async with Watch() as watch:
            stream = watch.stream(
                listed,
                self._wanted.namespace,
                label_selector=selector,
                resource_version=version,
                timeout_seconds=WATCH_SECONDS,
                allow_watch_bookmarks=True,
            )
            async for event in stream:
                name = event["raw_object"]["metadata"].get("name")
                if event["type"] == "DELETED":
                    self._objects[kind].pop(name, None)
                elif event["type"] in ("ADDED", "MODIFIED"):
                    self._objects[kind][name] = event["raw_object"]
                else:
                    continue
                self._changed.set()

    async def _report(self) -> None:
        """Pass the backends on once both kinds are known, and after each change."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            if len(self._objects) == 2:
                self._found(backends_in(self._objects["services"], self._objects["endpoints"]))


def backends_in(services: Mapping[str, Object], slices: Mapping[str, Object]) -> tuple[Backend, ...]:
    """Return a tuple of one Backend for each Service, with the addresses of its ready endpoints."""
    urls: dict[str, set[str]] = {}
    for one in slices.values():
        name = (one["metadata"].get("labels") or {}).get(SERVICE_NAME)
        if name is not None and name in services:
            urls.setdefault(name, set()).update(_urls(one))
    return tuple(
        Backend(name=name, urls=tuple(sorted(urls[name])), routing=_routing(services[name]))
        for name in sorted(services)
        if urls.get(name)
    )


def _urls(one: Object) -> Iterator[str]:
    """Yield the URL of each ready endpoint of an EndpointSlice; of other than IP addresses none."""
    ports = [port for port in one.get("ports") or () if port.get("port")]
    named = [port for port in ports if port.get("name") in PORT_NAMES]
    if not ports or one.get("addressType") not in ("IPv4", "IPv6"):
        return
    port = (named or ports)[0]["port"]
    for endpoint in one.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            yield from (f"http://{address(host, port)}" for host in endpoint["addresses"])


def _routing(service: Object) -> str:
    """Return the routing in a Service's annotation; the usual one without a known one."""
    wanted = (service["metadata"].get("annotations") or {}).get(ROUTING)
    return wanted if wanted in ROUTINGS else LEAST


def _is_gone(error: Exception) -> bool:
    """Return whether the API server no longer has the version that a watch should begin with."""
    return getattr(error, "status", None) == 410


def _why(error: Exception) -> str:
    """Return an error in one line."""
    return (str(error) or type(error).__name__).split("\n")[0]
