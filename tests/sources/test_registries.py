"""ModelScope and NGC, as far as a server of the tests speaks their HTTP."""

import base64
import hashlib
from pathlib import Path

import pytest

from nim.errors import WeightsError
from nim.models.remote.cache_directories import read_record
from tests.sources.conftest import Downloader
from tests.sources.file_server import FileServer, serving_files


def sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def add_modelscope(server: FileServer, origin: Path, name: str, revision: str) -> None:
    """Make the server list a model as ModelScope does; its files are links below /models."""
    files = [
        {"Path": path.name, "Size": path.stat().st_size, "Sha256": sha256(path).hex(), "Type": "blob"}
        for path in origin.iterdir()
    ]
    directory = {"Path": "assets", "Size": 0, "Type": "tree"}
    listing = {"Code": 200, "Data": {"Files": [directory, *files]}}
    server.more[f"/api/v1/models/{name}/repo/files?Revision={revision}&Recursive=true"] = listing
    place = server.root / "models" / name / "resolve" / revision
    place.parent.mkdir(parents=True)
    place.symlink_to(origin)


def test_modelscope(model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_files(model, etags=False) as server:
        add_modelscope(server, model / "model", "org/name", "v1.0")
        monkeypatch.setenv("MODELSCOPE_DOMAIN", server.url)
        fetch("modelscope://org/name:v1.0")
        record = read_record(Path(fetch.remote("modelscope://org/name:v1.0").directory))
    assert fetch.same("modelscope://org/name:v1.0", model / "model")
    assert record
    assert all(file.by_source and file.digest.startswith("sha256:") for file in record.files.values())


def test_a_private_model_of_modelscope(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_files(model, token="right") as server:
        add_modelscope(server, model / "model", "org/name", "master")
        monkeypatch.setenv("MODELSCOPE_DOMAIN", server.url)
        with pytest.raises(WeightsError, match=r"it answered 401 .*, asked with no token") as caught:
            fetch("modelscope://org/name")
        assert caught.value.hint == "MODELSCOPE_API_TOKEN=…"
        monkeypatch.setenv("MODELSCOPE_API_TOKEN", "right")
        fetch("modelscope://org/name")
    assert fetch.same("modelscope://org/name", model / "model")


def add_ngc(server: FileServer, origin: Path, place: str) -> None:
    """Make the server list a version as NGC does, in two pages."""
    path = f"/v2/{place}/files"
    files = [
        {
            "path": one.name,
            "sizeInBytes": one.stat().st_size,
            "sha256_base64": base64.b64encode(sha256(one)).decode(),
        }
        for one in sorted(origin.iterdir())
    ]
    for number, part in enumerate((files[:2], files[2:])):
        page = {"modelFiles": part, "paginationInfo": {"totalPages": 2, "index": number}}
        server.more[f"{path}?page-number={number}&page-size=1000"] = page
    directory = server.root / path.lstrip("/")
    directory.parent.mkdir(parents=True)
    directory.symlink_to(origin)


def test_ngc_without_a_key(model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_files(model) as server:
        add_ngc(server, model / "model", "org/nim/team/meta/models/llama/versions/1.0")
        monkeypatch.setenv("NGC_API_ENDPOINT", server.url)
        fetch("ngc://nim/meta/llama:1.0")
        assert not any("Authorization" in one or "authorization" in one for one in server.headers)
    assert fetch.same("ngc://nim/meta/llama:1.0", model / "model")


def test_ngc_with_a_key(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    with serving_files(model, token="short-lived") as server, serving_files(tmp_path / "none") as authn:
        add_ngc(server, model / "model", "org/nim/models/llama/versions/1.0")
        scope = "/token?service=ngc&scope=group%2Fngc%3Anim"
        authn.more[scope] = {"token": "short-lived"}
        monkeypatch.setenv("NGC_API_ENDPOINT", server.url)
        monkeypatch.setenv("NGC_AUTHN_ENDPOINT", authn.url)
        monkeypatch.setenv("NGC_API_KEY", "the-key")
        fetch("ngc://nim/llama:1.0")
        sent = {name.lower(): value for name, value in authn.headers[0].items()}["authorization"]
        assert base64.b64decode(sent.removeprefix("Basic ")) == b"$oauthtoken:the-key"
        assert not any("the-key" in value for one in server.headers for value in one.values())
    assert fetch.same("ngc://nim/llama:1.0", model / "model")


def test_ngc_refuses_a_key(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving_files(model, status_for_all=401) as server:
        monkeypatch.setenv("NGC_AUTHN_ENDPOINT", server.url)
        monkeypatch.setenv("NGC_API_KEY", "the-key")
        with pytest.raises(WeightsError, match="NGC refuses the key: it answered 401") as caught:
            fetch("ngc://nim/llama:1.0")
    assert "the-key" not in str(caught.value)
