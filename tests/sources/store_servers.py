"""Object stores on this machine: moto's S3, whose XML Google's stores speak too, and Azurite."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.peers.tools import AZURITE

KEY, SECRET, REGION = "AKIAEXAMPLE", "secret-of-the-test", "us-east-1"
ACCOUNT = "devstoreaccount1"
# The key that every Azurite has.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
BUCKET = "models"
ENDED_SECONDS = 20
DENIED_STATUS = 403


@contextmanager
def running_moto(directory: Path) -> Iterator[str]:
    """Yield the address of a moto server with nothing in it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, directory / "moto.log", port) as url:
        yield url


@contextmanager
def running_azurite(directory: Path) -> Iterator[str]:
    """Yield the address of an Azurite with nothing in it; skips where it is not installed."""
    if missing := AZURITE.missing():
        pytest.skip(f"Azurite was not tried: {missing}")
    port = free_port()
    program = str(AZURITE.path("node_modules/.bin/azurite-blob"))
    options = [
        "--inMemoryPersistence",
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
        "--blobPort",
        str(port),
    ]
    with _running([program, *options], directory / "azurite.log", port) as url:
        yield f"{url}/{ACCOUNT}"


@contextmanager
def _running(command: list[str], log: Path, port: int) -> Iterator[str]:
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url) or process.poll() is not None, f"{command[0]} to answer")
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.kill()
        process.wait(ENDED_SECONDS)


def _answers(url: str) -> bool:
    """Return whether a server answers there, with whatever."""
    with suppress(urllib.error.HTTPError, OSError):
        urllib.request.urlopen(url, timeout=5)
        return True
    return _is_refusal(url)


def _is_refusal(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def s3_client(url: str) -> Any:
    """Return AWS's own client of a server."""
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION
    )


def put_in_s3(url: str, origin: Path, prefix: str = "", *, public: bool = False, **more: Any) -> None:
    """Put the files of a directory into the bucket."""
    client = s3_client(url)
    client.create_bucket(Bucket=BUCKET, **({"ACL": "public-read"} if public else {}))
    for path in origin.iterdir():
        acl = {"ACL": "public-read"} if public else {}
        client.upload_file(str(path), BUCKET, prefix + path.name, ExtraArgs={**acl, **more})


def put_in_azure(url: str, origin: Path, prefix: str = "", *, public: bool = False) -> None:
    """Put the files of a directory into the container, with Azure's own client."""
    from azure.storage.blob import BlobServiceClient, PublicAccess

    access = PublicAccess.CONTAINER if public else None
    with BlobServiceClient(url, credential=ACCOUNT_KEY) as service:
        container = service.create_container(BUCKET, public_access=access)
        for path in origin.iterdir():
            with path.open("rb") as file:
                container.upload_blob(prefix + path.name, file)
