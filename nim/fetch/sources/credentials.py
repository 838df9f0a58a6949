"""Which credentials to use for an object store: those that are configured, none, or the machine's."""

import configparser
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass

AWS_NAMES = (
    *("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
GOOGLE_NAMES = (
    *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"),
    *("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN"),
)
AZURE_NAMES = (
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_KEY"),
    *("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID"),
    *("AZURE_FEDERATED_TOKEN_FILE", "AZURE_STORAGE_CONNECTION_STRING"),
)
SKIP = {"s3": "AWS_SKIP_SIGNATURE", "gs": "GOOGLE_SKIP_SIGNATURE", "az": "AZURE_SKIP_SIGNATURE"}
TO_SET = {
    "s3": "AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…, or AWS_PROFILE=…",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS=… the file of a service account",
    "az": "AZURE_STORAGE_ACCOUNT_KEY=…, or AZURE_STORAGE_SAS_TOKEN=…",
}
_TRUE = ("1", "TRUE", "YES", "ON")


@frozen_dataclass
class Access:
    """One way to be let in: what it is called in messages, and obstore's options for it."""

    name: str
    options: Mapping[str, Any]


def ways_in(scheme: str, environ: Mapping[str, str]) -> tuple[Access, ...]:
    """Return the ways to try, in order: what is configured; else without credentials, then the machine's."""
    anonymous = Access(name="no credentials", options={"skip_signature": True})
    if environ.get(SKIP[scheme], "").upper() in _TRUE:
        return (anonymous,)
    configured = next({"s3": _aws, "gs": _google, "az": _azure}[scheme](environ), None)
    if configured:
        return (configured,)
    off = environ.get("AWS_EC2_METADATA_DISABLED", "").upper() in _TRUE
    return (anonymous, *(() if off else (Access(name="the machine's own identity", options={}),)))


def _aws(environ: Mapping[str, str]) -> Iterator[Access]:
    """Yield the Access by environment, else by a profile of the shared files of AWS's tools."""
    if found := next((name for name in AWS_NAMES if environ.get(name)), None):
        yield Access(name=found, options={})
        return
    home = Path(environ.get("HOME") or "/")
    file = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    named = bool(environ.get("AWS_PROFILE"))
    if file.is_file():
        keys = _profile_keys(file, profile)
        if keys:
            yield Access(name=f"profile {profile} in {file}", options=keys)
            return
    if named:
        raise SettingsError(
            f"cannot use AWS_PROFILE '{profile}' (from the environment): '{file}' has no keys of it",
            hint="aws configure export-credentials --format env, or a profile with aws_access_key_id",
        )


def _profile_keys(file: Path, profile: str) -> dict[str, str]:
    """Return the keys of a profile in AWS's credentials file; {} if it has none."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, configparser.Error):
        return {}
    section = parser[profile] if parser.has_section(profile) else {}
    names = {
        "access_key_id": "aws_access_key_id",
        "secret_access_key": "aws_secret_access_key",
        "session_token": "aws_session_token",
    }
    found = {option: section[name] for option, name in names.items() if name in section}
    return found if "access_key_id" in found and "secret_access_key" in found else {}


def _google(environ: Mapping[str, str]) -> Iterator[Access]:
    """Yield the Access by environment, else by the file that gcloud's log-in writes."""
    if found := next((name for name in GOOGLE_NAMES if environ.get(name)), None):
        path = environ[found]
        if found == "GOOGLE_APPLICATION_CREDENTIALS":
            _check_google_file(Path(path))
        yield Access(name=found, options={})
        return
    login = Path(environ.get("HOME") or "/") / ".config" / "gcloud" / "application_default_credentials.json"
    if login.is_file():
        yield Access(name=str(login), options={})


def _check_google_file(path: Path) -> None:
    """Raise SettingsError if the file is not readable as Google's credentials."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no JSON"
        raise SettingsError(
            f"cannot use GOOGLE_APPLICATION_CREDENTIALS '{path}' (from the environment): {why}",
            hint=TO_SET["gs"],
        ) from None


def _azure(environ: Mapping[str, str]) -> Iterator[Access]:
    """Yield the Access by environment, connection strings included."""
    if text := environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        yield Access(name="AZURE_STORAGE_CONNECTION_STRING", options=_connection_string(text))
    elif found := next((name for name in AZURE_NAMES if environ.get(name)), None):
        yield Access(name=found, options={})


def _connection_string(text: str) -> dict[str, str]:
    """Return obstore's options for a connection string of Azure's portal."""
    words = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    names = {
        "account_name": "AccountName",
        "account_key": "AccountKey",
        "sas_key": "SharedAccessSignature",
        "endpoint": "BlobEndpoint",
    }
    return {option: words[name] for option, name in names.items() if words.get(name)}
