"""The asset store through the middleware, as NVCF's clients use it (case B39)."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from nim.middleware.nvcf import uploaded_assets
from nim.middleware.nvcf.uploaded_assets import AssetStore
from nim.plan import ASSETS_DIR, Plan
from tests.middleware.conftest import Serve

ASSETS = "/v2/nvcf/assets"
DESCRIPTION = "x-amz-meta-nvcf-asset-description"


@pytest.fixture
async def service(plan: Plan, serve: Serve) -> ClientSession:
    """Return a client of a middleware with a store of a kilobyte."""
    gateway = replace(plan.gateway, assets_size="1k", route_groups=(*plan.gateway.route_groups, "assets"))
    return await serve(replace(plan, gateway=gateway))


async def created(service: ClientSession, **body: Any) -> Any:
    asked = {"contentType": "image/png", "description": "a picture"} | body
    async with service.post(ASSETS, json=asked) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def put(service: ClientSession, url: str, data: Any, **headers: str) -> int:
    parts = urlsplit(url)
    named = {"Content-Type": "image/png", DESCRIPTION: "a picture"} | headers
    async with service.put(f"{parts.path}?{parts.query}", data=data, headers=named) as answer:
        return answer.status


async def test_an_asset_lives_from_its_announcement_to_its_removal(
    service: ClientSession, plan: Plan
) -> None:
    asset = await created(service)
    assert set(asset) == {"assetId", "uploadUrl", "contentType", "description"}
    file = plan.file(ASSETS_DIR) / asset["assetId"]
    assert await put(service, asset["uploadUrl"], b"x" * 500) == 200
    assert file.read_bytes() == b"x" * 500
    assert await put(service, asset["uploadUrl"], b"y") == 200, "as often as the address is good"
    async with service.get(ASSETS) as answer:
        (listed,) = (await answer.json())["assets"]
    async with service.get(f"{ASSETS}/{asset['assetId']}") as answer:
        assert (await answer.json())["asset"] == listed
    assert set(listed) == {"assetId", "contentType", "description", "createdAt"}
    for _ in range(2):
        async with service.delete(f"{ASSETS}/{asset['assetId']}") as answer:
            assert answer.status == 204
    assert not file.exists()
    async with service.get(f"{ASSETS}/{asset['assetId']}") as answer:
        assert answer.status == 404
    assert await put(service, asset["uploadUrl"], b"y") == 404


@pytest.mark.parametrize(
    "body",
    [
        {"contentType": "image/png"},
        {"description": "x"},
        {"contentType": "", "description": "x"},
        {"contentType": 1, "description": "x"},
        {"contentType": "image/png\nX: y", "description": "x"},
        [],
    ],
)
async def test_an_announcement_needs_both_texts(service: ClientSession, body: Any) -> None:
    async with service.post(ASSETS, json=body) as answer:
        assert answer.status == 422


async def test_an_upload_must_be_what_was_announced(service: ClientSession, plan: Plan) -> None:
    asset = await created(service)
    url = asset["uploadUrl"]
    assert await put(service, url, b"x", **{"Content-Type": "image/jpeg"}) == 400
    assert await put(service, url, b"x", **{DESCRIPTION: "another"}) == 400
    assert not (plan.file(ASSETS_DIR) / asset["assetId"]).exists()


async def test_only_the_signed_address_takes_an_upload(service: ClientSession) -> None:
    one, other = await created(service), await created(service)
    url = one["uploadUrl"]
    expires = int(url.partition("expires=")[2].partition("&")[0])
    for wrong in (
        url.partition("?")[0],
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.replace(str(expires), str(expires + 1)),
        url.replace(str(expires), "1"),
        url.replace(str(expires), "-1"),
        url.replace(one["assetId"], other["assetId"]),
        url.replace(one["assetId"], "..%2f..%2fsecret"),
    ):
        assert await put(service, wrong, b"x") in (403, 404), wrong


async def test_all_assets_together_are_bounded_and_what_is_too_much_leaves_nothing(
    service: ClientSession, plan: Plan
) -> None:
    first, second = await created(service), await created(service)
    assert await put(service, first["uploadUrl"], b"x" * 900) == 200

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"y" * 100

    assert await put(service, second["uploadUrl"], pieces()) == 413
    names = {path.name for path in plan.file(ASSETS_DIR).iterdir() if not path.suffix}
    assert names == {first["assetId"], ".key"}
    assert not [*plan.file(ASSETS_DIR).glob("*.new")]
    assert await put(service, second["uploadUrl"], b"y" * 50) == 200


@pytest.mark.parametrize(
    "asset_id", ["..", "%2e%2e%2fkey", ".key", "abc", "0" * 8 + "-0000-4000-8000-" + "0" * 12]
)
async def test_an_id_is_never_a_path(service: ClientSession, plan: Plan, asset_id: str) -> None:
    async with service.get(f"{ASSETS}/{asset_id}") as answer:
        assert answer.status == 404
    async with service.delete(f"{ASSETS}/{asset_id}") as answer:
        assert answer.status in (204, 404, 405)
    assert (plan.file(ASSETS_DIR) / ".key").exists()


def test_assets_are_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AssetStore(tmp_path, None)
    old = store.create("image/png", "x")
    (tmp_path / old.id).write_bytes(b"x")
    broken = tmp_path / f"{old.id}.ab.new"
    broken.write_bytes(b"x")
    os.utime(broken, (1, 1))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + uploaded_assets.LIFE_SECONDS - 1)
    store.sweep()
    assert store.get(old.id)
    monkeypatch.setattr(time, "time", lambda: now + uploaded_assets.LIFE_SECONDS + 1)
    store.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {".key"}


def test_signatures_outlive_the_process_and_the_files_are_private(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    signature = AssetStore(directory, None).sign("a", 5)
    assert AssetStore(directory, None).sign("a", 5) == signature
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / ".key").stat().st_mode & 0o777 == 0o600


async def test_without_the_catalog_there_is_no_store(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    async with service.post(ASSETS, json={"contentType": "a", "description": "b"}) as answer:
        assert answer.status == 404
    await asyncio.sleep(0)
    assert not plan.file(ASSETS_DIR).exists()
