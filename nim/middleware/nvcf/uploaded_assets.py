"""Keep the assets that clients upload in a private directory: a file each, named by its id, and a record."""

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from nim.frozen_dataclass import frozen_dataclass

LIFE_SECONDS = 24 * 3600.0
UPLOAD_SECONDS = 3600
MOST_ASSETS = 10_000
MOST_WORDS = 4_096


class StoreFull(Exception):
    """There is no room for more."""


@frozen_dataclass
class Asset:
    """What is known of one asset. `created_at` is in Unix seconds."""

    id: str
    content_type: str
    description: str
    created_at: float

    def body(self) -> dict[str, str]:
        """Return the asset as a dict of JSON values."""
        created = datetime.fromtimestamp(self.created_at, UTC).isoformat(timespec="milliseconds")
        return {
            "assetId": self.id,
            "contentType": self.content_type,
            "description": self.description,
            "createdAt": created.replace("+00:00", "Z"),
        }


class AssetStore:
    """The assets in a private directory. `most_bytes` bounds all of them together; None does not."""

    def __init__(self, directory: Path, most_bytes: int | None) -> None:
        self._directory, self._most_bytes = directory, most_bytes
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = self._read_key()
        self._uploading = 0

    def create(self, content_type: str, description: str) -> Asset:
        """Announce an asset and return it; StoreFull if there are too many. Old ones are removed first."""
        self.sweep()
        if len([*self._directory.glob("*.json")]) >= MOST_ASSETS:
            raise StoreFull
        asset = Asset(
            id=str(uuid4()), content_type=content_type, description=description, created_at=time.time()
        )
        fields = {"content_type": content_type, "description": description, "created_at": asset.created_at}
        self._write(self._record(asset.id), json.dumps(fields).encode())
        return asset

    def get(self, asset_id: str) -> Asset | None:
        """Return an asset, uploaded or not; None if there is none of this id, or the text is no id."""
        with suppress(OSError, ValueError, TypeError):
            if str(UUID(asset_id)) == asset_id.lower():
                fields = json.loads(self._record(asset_id.lower()).read_bytes())
                return Asset(id=asset_id.lower(), **fields)
        return None

    def list(self) -> tuple[Asset, ...]:
        """Return a tuple of the assets, the oldest first."""
        found = [self.get(path.stem) for path in self._directory.glob("*.json")]
        return tuple(sorted((each for each in found if each), key=lambda asset: asset.created_at))

    def delete(self, asset_id: str) -> None:
        """Remove an asset; nothing if there is none."""
        if asset := self.get(asset_id):
            for path in (self._directory / asset.id, self._record(asset.id)):
                path.unlink(missing_ok=True)

    def sign(self, asset_id: str, expires: int) -> str:
        """Return the signature of an upload, as hex digits."""
        return hmac.new(self._key, f"{asset_id} {expires}".encode(), hashlib.sha256).hexdigest()

    def may_upload(self, asset_id: str, expires: str, signature: str) -> bool:
        """Return whether the signature is of this asset and time, and the time is not over."""
        if not (expires.isascii() and expires.isdigit()) or int(expires[:12]) < time.time():
            return False
        return hmac.compare_digest(self.sign(asset_id, int(expires)), signature)

    async def upload(self, asset: Asset, chunks: AsyncIterator[bytes]) -> None:
        """Write an asset's bytes, and put them into place when all have come; StoreFull, OSError."""
        fresh = self._directory / f"{asset.id}.{secrets.token_hex(4)}.new"
        free = self._free()
        written = 0
        try:
            with fresh.open("xb") as file:
                async for chunk in chunks:
                    written += len(chunk)
                    self._uploading += len(chunk)
                    if free is not None and self._uploading > free:
                        raise StoreFull
                    file.write(chunk)
            if self.get(asset.id):  # it may have been deleted meanwhile
                fresh.rename(self._directory / asset.id)
        finally:
            self._uploading -= written
            fresh.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what is older than a day, and uploads that were broken off."""
        oldest = time.time() - LIFE_SECONDS
        for asset in self.list():
            if asset.created_at < oldest:
                self.delete(asset.id)
        for path in self._directory.glob("*.new"):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _free(self) -> int | None:
        """Return how many bytes may still be written; None for no limit."""
        if self._most_bytes is None:
            return None
        used = sum(path.stat().st_size for path in self._directory.iterdir() if not path.suffix)
        return self._most_bytes - used

    def _record(self, asset_id: str) -> Path:
        """Return the path of an asset's record."""
        return self._directory / f"{asset_id}.json"

    def _read_key(self) -> bytes:
        """Return the key of signatures, kept beside the assets so that it outlives this process."""
        path = self._directory / ".key"
        with suppress(OSError):
            return path.read_bytes()
        key = secrets.token_bytes(32)
        self._write(path, key)
        return key

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file atomically, for this user only."""
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        fresh.replace(path)
