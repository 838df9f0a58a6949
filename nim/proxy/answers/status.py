"""The state of the backends as JSON: for readiness, /v1/metadata and `nim proxy status`."""

from typing import Any

from nim.proxy.backend_services import SERVING, Backend
from nim.proxy.routing.models_of_backends import Fleet
from nim.proxy.routing.replicas import Replica

Body = dict[str, Any]


def readiness(fleet: Fleet) -> Body:
    """Return the body of /v1/health/ready: ready if any replica takes requests, with the state of each."""
    ready = bool(fleet.ready_replicas())
    waits = [one.eta_seconds for one in fleet.replicas.values() if one.eta_seconds is not None]
    word = "ready" if ready else "not ready: no backend takes requests"
    return {
        "object": "health.response",
        "message": word,
        "status": "ready" if ready else "not_ready",
        "phase": "ready" if ready else "unknown",
        "progress": None,
        "eta_seconds": None if ready or not waits else min(waits),
        "backends": backend_states(fleet),
    }


def backend_states(fleet: Fleet) -> list[Body]:
    """Return a list with one dict for each backend: its models and the state of each replica."""
    return [_backend(fleet, backend) for backend in fleet.backends]


def _backend(fleet: Fleet, backend: Backend) -> Body:
    """Return a backend as a dict; variables with keys by name only."""
    replicas = [one for one in fleet.replicas.values() if one.backend is backend]
    served = [
        name
        for name, target in fleet.targets.items()
        if target.backend is backend or any(one.backend is backend for one in target.replicas)
    ]
    return {
        "name": backend.name,
        "state": backend.state,
        "routing": backend.routing,
        "models": served,
        "aliases": dict(backend.aliases),
        "key": "its own" if backend.key_env else "the client's",
        "replicas": [_replica(fleet, one) for one in replicas],
        "unresolved": [] if replicas or backend.state != SERVING else list(backend.urls),
    }


def _replica(fleet: Fleet, replica: Replica) -> Body:
    """Return a replica as a dict."""
    now = fleet.now()
    out = max(replica.out_until - now, 0.0)
    ready = bool(replica.ready) and not out
    why = replica.why if not replica.ready else f"out for {out:.1f} s after failures" if out else ""
    return {
        "url": replica.label,
        "ready": ready,
        "why": why,
        "eta_seconds": replica.eta_seconds,
        "running": replica.running,
        "requests": replica.requests,
        "failures": replica.failures,
    }
