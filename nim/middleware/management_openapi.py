"""OpenAPI description of the management routes, written by hand and checked by tests."""

from typing import Any

from nim.routes import ADAPTER_ROUTES

Schema = dict[str, Any]

TAG = "management"
LOAD, UNLOAD = ADAPTER_ROUTES


def paths() -> Schema:
    """Return the OpenAPI `paths` object of the management routes, a dict."""
    return {
        "/": _route("index", "What this service is, and links", _json("NimIndex") | _html()),
        "/v1/health/live": _route("live", "Whether the container runs", _json("NimHealth")),
        "/v1/health/ready": _route("ready", "Whether inference works now", _json("NimHealth"), "NimNotReady"),
        "/v1/health/startup": _route("startup", "How the start goes", _json("NimStartup"), "NimStartup"),
        "/v1/metadata": _route("metadata", "What runs here, and why", _json("NimMetadata")),
        "/v1/version": _route("version", "The release and the API's version", _json("NimVersion")),
        "/v1/license": _route("license", "The model's licence and its text", _json("NimLicense")),
        "/v1/manifest": _route("manifest", "The manifest and the profile chosen", _json("NimManifest")),
        "/v1/metrics": _route("metrics", "The engine's metrics and the service's", _text()),
        LOAD: _adapter_route("load", "Serve an adapter below NIM_PEFT_SOURCE", "lora_name", "lora_path"),
        UNLOAD: _adapter_route("unload", "No longer serve an adapter", "lora_name"),
    }


def schemas() -> Schema:
    """Return {name: JSON schema} of the answers that `paths` refers to."""
    return {
        "NimIndex": _object(**_INDEX),
        "NimHealth": _object(**_HEALTH),
        "NimNotReady": _object(**_HEALTH, **_PROGRESS),
        "NimStartup": _object(**_HEALTH, **_PROGRESS, **_STARTUP),
        "NimMetadata": _object(**_METADATA),
        "NimVersion": _object(release=_STRING, api=_STRING),
        "NimLicense": _object(**_LICENSE, content=_or_null(_STRING)),
        "NimManifest": _object(schema_version=_STRING, profiles=_list(_ANY), selected_profile=_STRING),
        "NimError": _object(
            error=_object(
                message=_STRING,
                type=_STRING,
                param=_or_null(_STRING),
                code=_or_null(_STRING),
                request_id=_or_null(_STRING),
            )
        ),
    }


def _object(**properties: Schema) -> Schema:
    """Return the JSON schema of an object that has all of these properties and may have more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    """Return the JSON schema of an array of `items`."""
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    """Return the JSON schema of an object with arbitrary keys and these values."""
    return {"type": "object", "additionalProperties": values}


def _or_null(schema: Schema) -> Schema:
    """Return the JSON schema that allows this one or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def _json(schema: str) -> Schema:
    """Return the OpenAPI content of a JSON answer, a reference to the named schema."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _html() -> Schema:
    """Return the OpenAPI content of an HTML answer."""
    return {"text/html": {"schema": _STRING}}


def _text() -> Schema:
    """Return the OpenAPI content of a plain text answer."""
    return {"text/plain": {"schema": _STRING}}


def _route(name: str, summary: str, content: Schema, not_yet: str | None = None) -> Schema:
    """Return the OpenAPI path item of a GET route; `not_yet` names the schema of its 503 answer."""
    responses: Schema = {
        "200": {"description": summary, "content": content},
        "4XX": {"description": "Refused", "content": _json("NimError")},
    }
    if not_yet:
        responses["503"] = {"description": "Not ready", "content": _json(not_yet)}
    return {"get": {"tags": [TAG], "operationId": f"nim_{name}", "summary": summary, "responses": responses}}


def _adapter_route(name: str, summary: str, *members: str) -> Schema:
    """Return the OpenAPI path item of a POST route whose body is an object of these texts."""
    item = _route(f"{name}_adapter", summary, _text(), "NimError")["get"]
    content = {"application/json": {"schema": _object(**dict.fromkeys(members, _STRING))}}
    return {"post": item | {"requestBody": {"required": True, "content": content}}}


_ANY: Schema = {}
_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_INTEGER: Schema = {"type": "integer"}
_BOOLEAN: Schema = {"type": "boolean"}
_INDEX = {
    "object": {"const": "service"},
    "name": _STRING,
    "release": _STRING,
    "models": _list(_STRING),
    "phase": _STRING,
    "ready": _BOOLEAN,
    "links": _map(_STRING),
}
_HEALTH = {"object": {"const": "health.response"}, "message": _STRING, "status": _STRING}
_PROGRESS = {
    "phase": _STRING,
    "progress": _or_null(_NUMBER | {"minimum": 0, "maximum": 1}),
    "eta_seconds": _or_null(_NUMBER | {"minimum": 0}),
}
_DOWNLOAD = _object(have_bytes=_INTEGER, total_bytes=_or_null(_INTEGER), bytes_per_second=_or_null(_NUMBER))
_STARTUP = {
    "phases": _list(_object(phase=_STRING, seconds=_NUMBER)),
    "download": _or_null(_DOWNLOAD),
}
_LICENSE = {
    "name": _or_null(_STRING),
    "path": _or_null(_STRING),
    "sha": _or_null(_STRING),
    "size": _or_null(_INTEGER),
    "url": _or_null(_STRING),
    "type": _STRING,
}
_ORIGIN = {"value": _ANY, "source": _STRING, "place": _STRING}
_FAILURE = _object(
    **{"class": _STRING},
    message=_STRING,
    hint=_STRING,
    log=_list(_STRING),
    exit_code=_or_null(_INTEGER),
    signal=_or_null(_INTEGER),
)
_METADATA = {
    "version": _STRING,
    "modelInfo": _list(_object(shortName=_STRING, modelUrl=_STRING)),
    "selectedModelProfileId": _STRING,
    "profile": _object(label=_STRING, tags=_map(_STRING), because=_STRING),
    "engine": _object(name=_STRING, version=_or_null(_STRING)),
    "licenseInfo": _object(**_LICENSE),
    "assetInfo": _list(_ANY),
    "repository_override": _STRING,
    "config": _map(_object(**_ORIGIN, previous=_list(_object(**_ORIGIN)))),
    "state": _object(
        phase=_STRING,
        message=_STRING,
        ready=_BOOLEAN,
        progress=_or_null(_NUMBER),
        eta_seconds=_or_null(_NUMBER | {"minimum": 0}),
        restarts=_map(_INTEGER),
        failure=_or_null(_FAILURE),
    ),
    "planHash": _STRING,
}
