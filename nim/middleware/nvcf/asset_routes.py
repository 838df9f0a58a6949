"""The routes of the asset store, with NVCF's paths and bodies."""

import json
import time
from http import HTTPStatus

from aiohttp import web

from nim.middleware.error_bodies import refused
from nim.middleware.nvcf.uploaded_assets import MOST_WORDS, UPLOAD_SECONDS, Asset, AssetStore, StoreFull
from nim.plan import ASSETS_DIR, Plan
from nim.routes import ASSET, ASSET_UPLOAD, ASSETS

STORE, SCHEME = web.AppKey("assets", AssetStore), web.AppKey("scheme", str)
DESCRIPTION_HEADER = "x-amz-meta-nvcf-asset-description"
_CHUNK_BYTES = 256 * 1024


def add_asset_routes(app: web.Application, plan: Plan, most_bytes: int | None) -> None:
    """Add the store and its routes to the application."""
    app[STORE] = AssetStore(plan.file(ASSETS_DIR), most_bytes)
    app[SCHEME] = plan.gateway.scheme
    app.router.add_post(ASSETS, _create)
    app.router.add_get(ASSETS, _list)
    app.router.add_get(ASSET, _get)
    app.router.add_delete(ASSET, _delete)
    app.router.add_put(ASSET_UPLOAD, _upload)


async def _create(request: web.Request) -> web.Response:
    """Answer POST: announce an asset; the answer has its id and the address to upload it to."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    words = [body.get(name) if isinstance(body, dict) else None for name in ("contentType", "description")]
    if not all(
        isinstance(word, str) and 0 < len(word) <= MOST_WORDS and word.isprintable() for word in words
    ):
        message = "cannot take the asset: expected a JSON object with the texts contentType and description"
        return refused(request, HTTPStatus.UNPROCESSABLE_ENTITY, message, "invalid_asset")
    try:
        asset = request.app[STORE].create(*map(str, words))
    except StoreFull:
        return _full(request)
    expires = int(time.time()) + UPLOAD_SECONDS
    path = ASSET_UPLOAD.replace("{asset_id}", asset.id)
    query = f"expires={expires}&signature={request.app[STORE].sign(asset.id, expires)}"
    answer = asset.body() | {"uploadUrl": f"{_address(request)}{path}?{query}"}
    return web.json_response({name: answer[name] for name in answer if name != "createdAt"})


def _address(request: web.Request) -> str:
    """Return the service's address as the client knows it: a proxy in front may end TLS."""
    scheme = "https" if request.headers.get("X-Forwarded-Proto") == "https" else request.app[SCHEME]
    return f"{scheme}://{request.headers.get('X-Forwarded-Host', request.host)}"


async def _list(request: web.Request) -> web.Response:
    """Answer GET of all assets."""
    return web.json_response({"assets": [asset.body() for asset in request.app[STORE].list()]})


async def _get(request: web.Request) -> web.Response:
    """Answer GET of one asset."""
    asset = request.app[STORE].get(request.match_info["asset_id"])
    return web.json_response({"asset": asset.body()}) if asset else _missing(request)


async def _delete(request: web.Request) -> web.Response:
    """Answer DELETE: 204, also if there is no such asset."""
    request.app[STORE].delete(request.match_info["asset_id"])
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def _upload(request: web.Request) -> web.Response:
    """Answer PUT to the signed address: take an asset's bytes as they come."""
    store, asset_id = request.app[STORE], request.match_info["asset_id"]
    if not store.may_upload(asset_id, request.query.get("expires", ""), request.query.get("signature", "")):
        message = "cannot take the upload: the address is not one of this service, or its time is over"
        return refused(request, HTTPStatus.FORBIDDEN, message, "invalid_signature")
    asset = store.get(asset_id)
    if asset is None:
        return _missing(request)
    if fault := _other_than_announced(request, asset):
        return refused(request, HTTPStatus.BAD_REQUEST, fault, "invalid_asset")
    try:
        await store.upload(asset, request.content.iter_chunked(_CHUNK_BYTES))
    except StoreFull:
        return _full(request)
    except OSError as error:
        message = f"cannot keep the asset: {error.strerror}"
        return refused(request, HTTPStatus.INSUFFICIENT_STORAGE, message, "assets_full")
    return web.Response()


def _other_than_announced(request: web.Request, asset: Asset) -> str | None:
    """Return which header differs from what was announced, as a message; None if none does."""
    announced = {"Content-Type": asset.content_type, DESCRIPTION_HEADER: asset.description}
    for name, value in announced.items():
        if request.headers.get(name) != value:
            return f"cannot take the upload: the header {name} is not {value!r}, as announced"
    return None


def _missing(request: web.Request) -> web.Response:
    """Return the answer about an asset that is not there."""
    message = f"cannot find the asset {request.match_info['asset_id'][:60]}"
    return refused(request, HTTPStatus.NOT_FOUND, message, "not_found")


def _full(request: web.Request) -> web.Response:
    """Return the answer to what there is no room for."""
    message = "cannot take the asset: there is no room (NIM_ASSETS_MAX_SIZE); DELETE removes one"
    return refused(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "assets_full")
