"""Object stores as their own servers and clients have them: credentials, public access, digests."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from nim.errors import OutOfReach, SettingsError, WeightsError
from nim.models.remote.cache_directories import read_record
from tests.gateway.nginx import free_port
from tests.sources.conftest import Downloader, make_model
from tests.sources.file_server import serving_files
from tests.sources.store_servers import (
    ACCOUNT,
    ACCOUNT_KEY,
    BUCKET,
    KEY,
    REGION,
    SECRET,
    put_in_azure,
    put_in_s3,
    running_azurite,
    running_moto,
)

WEIGHTS = "model.safetensors"
PREFIX = "some/where/"
PART_BYTES = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of an S3 with nothing in it, set as the endpoint."""
    urllib.request.urlopen(
        urllib.request.Request(f"{moto}/moto-api/reset", method="POST"), timeout=30
    ).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    return moto


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Return a model whose weights S3's own client uploads in several parts."""
    return make_model(tmp_path / "origin", 3 * PART_BYTES - 1000)


def with_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the keys in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def test_s3_with_keys_and_digests_of_parts(
    s3: str, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_s3(s3, origin, PREFIX)
    with_keys(monkeypatch)
    uri = f"s3://{BUCKET}/some/where"
    fetch(uri)
    assert fetch.same(uri, origin)
    record = read_record(Path(fetch.remote(uri).directory))
    assert record
    assert record.files[WEIGHTS].digest.startswith("md5-3:")
    assert record.files["config.json"].digest.startswith("md5:")
    assert all(file.by_source for file in record.files.values())


def test_a_public_bucket_needs_no_keys(s3: str, origin: Path, fetch: Downloader) -> None:
    put_in_s3(s3, origin, public=True)
    fetch(f"s3://{BUCKET}")
    assert fetch.same(f"s3://{BUCKET}", origin)


def test_keys_of_a_profile(
    s3: str, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_in_s3(s3, origin)
    file = tmp_path / "home" / ".aws" / "credentials"
    file.parent.mkdir(parents=True)
    file.write_text(f"[work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    fetch(f"s3://{BUCKET}")
    assert fetch.same(f"s3://{BUCKET}", origin)
    monkeypatch.setenv("AWS_PROFILE", "other")
    with pytest.raises(SettingsError, match="cannot use AWS_PROFILE 'other'"):
        fetch(f"s3://{BUCKET}", refresh=True)


def test_wrong_keys_are_named(
    tmp_path: Path, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_moto(tmp_path) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        put_in_s3(url, origin)
        _try_wrong_keys(url, origin, fetch, monkeypatch)


def _try_wrong_keys(s3: str, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the server check signatures, as S3 does; a wrong key is refused, the right one is not."""
    iam = boto3.client(
        "iam", endpoint_url=s3, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION
    )
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    policy = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=document)
    _check_signatures(s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(
        WeightsError, match=r"SignatureDoesNotMatch.*, asked with AWS_ACCESS_KEY_ID"
    ) as caught:
        fetch(f"s3://{BUCKET}")
    assert "AWS_SECRET_ACCESS_KEY" in str(caught.value.hint)
    assert "wrong" not in str(caught.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    fetch(f"s3://{BUCKET}")
    assert fetch.same(f"s3://{BUCKET}", origin)


def _check_signatures(url: str) -> None:
    request = urllib.request.Request(
        f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request, timeout=30).close()


def test_an_etag_that_is_no_md5_of_the_bytes(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of objects that keys of KMS encrypt, the ETag has the form of an MD5 and is none."""
    with_keys(monkeypatch)
    with serving_files(model) as server:
        server.more_headers = {"x-amz-server-side-encryption": "aws:kms"}
        monkeypatch.setattr("tests.sources.file_server.etag", lambda _: f'"{"a" * 32}"')
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        fetch("s3://model")
        assert fetch.same("s3://model", model / "model")
        record = read_record(Path(fetch.remote("s3://model").directory))
        assert record
        assert not record.files[WEIGHTS].by_source
        assert server.sent_bytes == sum(file.size for file in record.files.values())


def test_a_bucket_that_is_not_there(s3: str, fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    with_keys(monkeypatch)
    with pytest.raises(WeightsError, match="it answered 404 NoSuchBucket"):
        fetch("s3://nothing/here")
    put_in_s3(s3, make_model(fetch.cache.parent / "other"))
    with pytest.raises(WeightsError, match="it has no files there"):
        fetch(f"s3://{BUCKET}/elsewhere")


@pytest.mark.usefixtures("no_delays")
def test_a_store_that_is_out_of_reach(fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    with_keys(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(OutOfReach, match=r"http://127.0.0.1:.*: the connection was refused"):
        fetch("s3://models/x")


def test_google_with_its_own_client_and_a_bearer(
    s3: str, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client of Google's store asks for the XML that S3 has, too."""
    put_in_s3(s3, origin, PREFIX)
    monkeypatch.setenv("GOOGLE_BASE_URL", s3)
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "a-token")
    uri = f"gs://{BUCKET}/some/where"
    fetch(uri)
    assert fetch.same(uri, origin)


def test_a_service_account_file_and_an_emulator(
    s3: str, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_in_s3(s3, origin, public=True)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", s3.removeprefix("http://"))
    fetch(f"gs://{BUCKET}")
    assert fetch.same(f"gs://{BUCKET}", origin)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))
    with pytest.raises(
        SettingsError, match=r"cannot use GOOGLE_APPLICATION_CREDENTIALS '.*' .*: No such file"
    ):
        fetch(f"gs://{BUCKET}", refresh=True)


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with running_azurite(tmp_path) as url:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", url)
        yield url


def test_azure_with_a_key(
    azure: str, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_azure(azure, origin, PREFIX)
    uri = f"az://{BUCKET}/some/where"
    with pytest.raises(WeightsError, match="asked with no credentials"):
        fetch(uri)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY)
    fetch(uri)
    assert fetch.same(uri, origin)


def test_azure_with_a_connection_string(
    azure: str, origin: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_azure(azure, origin)
    monkeypatch.delenv("AZURE_STORAGE_ENDPOINT")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    text = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};BlobEndpoint={azure}"
    )
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    fetch(f"az://{BUCKET}")
    assert fetch.same(f"az://{BUCKET}", origin)


def test_a_public_container(azure: str, origin: Path, fetch: Downloader) -> None:
    put_in_azure(azure, origin, public=True)
    fetch(f"az://{BUCKET}")
    assert fetch.same(f"az://{BUCKET}", origin)


def test_azure_without_an_account(fetch: Downloader) -> None:
    assert "AZURE_STORAGE_ACCOUNT_NAME" not in os.environ
    with pytest.raises(SettingsError, match="the storage account is not known"):
        fetch("az://container/x")
