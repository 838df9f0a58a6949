"""JSON bodies of the management routes, built from the plan and the state."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nim import data_paths
from nim.plan import Model, Plan
from nim.read_regular_file import read_bytes
from nim.redact import mask_value
from nim.service_state import Failure, State
from nim.value_origins import Value

API_VERSION = "1.0.0"
"""Version of the management API, independent of the release."""

LICENCE_BYTES = 4 * 1024 * 1024

Body = dict[str, Any]


def metadata(plan: Plan, state: State) -> Body:
    """Return the body of /v1/metadata, a dict: model, profile, engine, licence, options, state."""
    facts = licence(plan.model)
    return {
        "version": plan.release,
        "modelInfo": [{"shortName": _short_name(plan.model), "modelUrl": plan.model.source}],
        "selectedModelProfileId": plan.profile.id,
        "profile": {
            "label": plan.profile.label,
            "tags": dict(plan.profile.tags),
            "because": plan.profile.because,
        },
        "engine": {"name": plan.engine.name, "version": plan.engine.version},
        "licenseInfo": {key: value for key, value in facts.items() if key != "content"},
        "assetInfo": [],
        "repository_override": "",
        "config": {name: _option(name, value) for name, value in plan.config.items()},
        "state": _state(state),
        "planHash": plan.hash,
    }


def version(plan: Plan) -> Body:
    """Return the body of /v1/version, a dict: release and version of the management API."""
    return {"release": plan.release, "api": API_VERSION}


def startup(state: State) -> Body:
    """Return the body of /v1/health/startup, a dict: phase, progress, ETA, finished phases, download."""
    body: Body = json.loads(state.health())
    phases = [{"phase": done.phase.value, "seconds": done.seconds} for done in state.done]
    download = asdict(state.download) if state.download else None
    return body | {
        "status": "ready" if state.ready else "not_ready",
        "phases": phases,
        "download": download,
    }


def manifest(document: Mapping[str, Any], plan: Plan) -> Body:
    """Return the manifest, a dict, with secrets masked and the id of the chosen profile added."""
    return {**mask_value("", document), "selected_profile": plan.profile.id}


def licence(model: Model) -> Body:
    """Return a dict on the model's licence file, else on this project's; unreadable parts are None."""
    if model.license_file:
        return _licence(model.license_name, Path(model.license_file), None)
    if model.license_name:
        return _licence(model.license_name, None, None)
    return _licence("Apache-2.0", data_paths.LICENSE, "https://www.apache.org/licenses/LICENSE-2.0")


def _short_name(model: Model) -> str:
    """Return the model's first served name, else its name; the NIM operator reads it."""
    return model.served_names[0] if model.served_names else model.name


def _option(name: str, value: Value) -> Body:
    """Return a dict on a resolved option: `value`, `source` (layer), `place` (origin), `previous`."""
    return _origin(name, value) | {"previous": [_origin(name, older) for older in value.previous]}


def _origin(name: str, value: Value) -> Body:
    """Return a dict of a value, masked if secret, with its layer and place."""
    return {
        "value": mask_value(name, value.value),
        "source": value.origin.layer.name,
        "place": value.origin.place,
    }


def _state(state: State) -> Body:
    """Return the state as a dict of JSON values."""
    return {
        "phase": state.phase.value,
        "message": state.message,
        "ready": state.ready,
        "progress": state.progress,
        "eta_seconds": state.eta_seconds,
        "restarts": dict(state.restarts),
        "failure": _failure(state.failure) if state.failure else None,
    }


def _failure(failure: Failure) -> Body:
    """Return a failure as a dict of JSON values."""
    return {
        "class": failure.kind,
        "message": failure.message,
        "hint": failure.hint,
        "log": list(failure.log),
        "exit_code": failure.exit_code,
        "signal": failure.signal,
    }


def _licence(name: str | None, path: Path | None, url: str | None) -> Body:
    """Return a dict with name, path, size, SHA-256 and text of a licence file; absent parts are None."""
    content = _content(path)
    return {
        "name": name or (path.name if path else None),
        "path": str(path) if path else None,
        "sha": hashlib.sha256(content).hexdigest() if content is not None else None,
        "size": len(content) if content is not None else None,
        "url": url,
        "type": "file",
        "content": content.decode("utf-8", errors="replace") if content is not None else None,
    }


def _content(path: Path | None) -> bytes | None:
    """Return the bytes of a file; None without a path or if it cannot be read."""
    try:
        return read_bytes(path, LICENCE_BYTES) if path else None
    except OSError:
        return None
