"""The demo model served by the real engine from each kind of source, and from the cache without a network."""

import json
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import ROOT, Service, free_ports, serving
from tests.e2e.test_fetch import DEMO, SETTINGS
from tests.sources.file_server import serving_files
from tests.sources.store_servers import (
    ACCOUNT,
    ACCOUNT_KEY,
    BUCKET,
    KEY,
    SECRET,
    put_in_azure,
    put_in_s3,
    running_azurite,
    running_moto,
)

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.slow, pytest.mark.timeout(1200)]
PREFIX = "models/demo/"
READY_SECONDS = 400
ANSWER = "Hello! I'm ready to help."
QUESTION = {"messages": [{"role": "user", "content": "Hello! How are you?"}], "max_tokens": 32}


@contextmanager
def source(kind: str, directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (URI, environment) of the demo model in a server of this kind."""
    with ExitStack() as stack:
        if kind == "https":
            authority = Authority(directory / "authority")
            pair = authority.issue("server")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
            server = stack.enter_context(serving_files(DEMO.parent, tls=context))
            yield f"{server.url}/{DEMO.name}", {"SSL_CERT_FILE": authority.certificate}
        elif kind == "az":
            url = stack.enter_context(running_azurite(directory))
            put_in_azure(url, DEMO, PREFIX)
            account = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY}
            yield f"az://{BUCKET}/models/demo", {**account, "AZURE_STORAGE_ENDPOINT": url}
        else:
            url = stack.enter_context(running_moto(directory))
            put_in_s3(url, DEMO, PREFIX)
            s3 = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
            gs = {"GOOGLE_BASE_URL": url, "GOOGLE_BEARER_TOKEN": "a-token"}
            yield f"{kind}://{BUCKET}/models/demo", s3 if kind == "s3" else gs


def answer(service: Service, model: str) -> Any:
    """Return what the service says to a greeting."""
    request = urllib.request.Request(
        f"{service.root}/v1/chat/completions",
        data=json.dumps({"model": model, **QUESTION}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("kind", ["s3", "gs", "az", "https"])
def test_the_demo_model_is_served_from(kind: str, tmp_path: Path) -> None:
    with (
        source(kind, tmp_path) as (uri, environ),
        serving(tmp_path, NIM_MODEL_PATH=uri, **SETTINGS, **environ) as service,
    ):
        name = service.json("/v1/models")["data"][0]["id"]
        assert answer(service, name).endswith(ANSWER)
        assert service.json("/v1/metadata")["modelInfo"][0]["modelUrl"] == uri
        phases = [done["phase"] for done in service.json("/v1/health/startup")["phases"]]
        assert phases[:3] == ["select", "fetch", "select"]
        said = service.log.read_text()
    assert f"fetched {uri}: 4.4 MB in " in said
    assert not any(secret in said for secret in (SECRET, ACCOUNT_KEY))


IN_NAMESPACE = r"""
ip link set lo up
"$ENTRYPOINT" > "$LOG" 2>&1 &
service=$!
for _ in $(seq "$SECONDS_TO_READY"); do
  sleep 1
  curl -sf "http://127.0.0.1:$NIM_SERVER_PORT/v1/health/ready" > /dev/null && break
  kill -0 $service || exit 1
done
url="http://127.0.0.1:$NIM_SERVER_PORT/v1/chat/completions"
curl -s "$url" -H 'Content-Type: application/json' -d "$QUESTION"
kill -TERM $service
wait $service
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace without network needs root")
def test_a_start_without_any_network(tmp_path: Path) -> None:
    """The cache is complete; keys and endpoint are set, and lead nowhere."""
    with source("s3", tmp_path) as (uri, environ):
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("NIM_", "VLLM_"))},
            **SETTINGS,
            **environ,
            "NIM_CACHE_PATH": str(tmp_path / "cache"),
            "NIM_RUN_DIR": str(tmp_path / "run"),
            "NIM_MODEL_PATH": uri,
            "NIM_SERVER_PORT": str(free_ports(1)[0]),
        }
        fetched = subprocess.run([ROOT / "entrypoint.sh", "fetch"], env=env, capture_output=True, check=False)
        assert fetched.returncode == 0, fetched.stderr
    more = {
        "ENTRYPOINT": str(ROOT / "entrypoint.sh"),
        "LOG": str(tmp_path / "log"),
        "SECONDS_TO_READY": str(READY_SECONDS),
        "QUESTION": json.dumps({"model": f"{BUCKET}/models/demo", **QUESTION}),
    }
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", IN_NAMESPACE],
        env={**env, **more},
        capture_output=True,
        text=True,
        timeout=READY_SECONDS + 200,
        check=False,
    )
    said = (tmp_path / "log").read_text()
    assert done.returncode == 0, said[-4000:]
    assert json.loads(done.stdout)["choices"][0]["message"]["content"].endswith(ANSWER)
    assert "fetching" not in said
