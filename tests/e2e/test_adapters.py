"""LoRA adapters in the real engine: changed under streams, put back after a loss, two hundred listed."""

import json
import os
import shutil
import signal
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, NotFoundError, OpenAI

from nim.cleanup.read_and_watch_processes import all_processes, below
from tests.e2e.conftest import READY_SECONDS, Service, serving
from tests.e2e.test_stalls import part, ready
from tests.fakes.launch import wait_until
from tests.middleware.adapter_engine import put_adapter
from tests.middleware.test_metrics import parsed, value
from tests.sources.store_servers import BUCKET, running_moto, s3_client
from tests.sources.test_adapters import PREFIX, credentials, put

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.timeout(3 * READY_SECONDS)]
BASE, GREETING = "nim/demo", "Hello! How are you?"
ANSWERS = {
    BASE: "Hello! I'm ready to help.",
    "pirate": "Ahoy, matey! I be ready to help.",
    "german": "Hallo! Ich helfe gern.",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("source")
    put_adapter(directory, "pirate")
    put_adapter(directory, "german", of="german")
    return directory


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Iterator[Service]:
    settings = {"NIM_PEFT_SOURCE": str(source), "NIM_PEFT_REFRESH_INTERVAL": "1", "NIM_ROUTES": "+adapters"}
    with serving(tmp_path_factory.mktemp("adapters"), **settings, NIM_MAX_GPU_LORAS="2") as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.root}/v1", api_key="none", max_retries=0) as client:
        yield client


def answer(client: OpenAI, model: str, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": GREETING}]
    said = client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=60, **more
    )
    return said.choices[0].message.content


def states(service: Service) -> dict[str, str]:
    return {entry["id"]: entry["state"] for entry in service.json("/v1/metadata")["adapters"]}


def answers_as(client: OpenAI, model: str, expected: str) -> bool:
    try:
        return bool(answer(client, model) == expected)
    except NotFoundError:
        return False


def test_each_answers_as_it_was_trained(service: Service, client: OpenAI) -> None:
    assert {model: answer(client, model) for model in ANSWERS} == ANSWERS
    with ThreadPoolExecutor(12) as pool:
        asked = [*ANSWERS] * 8
        assert [*pool.map(lambda model: answer(client, model), asked)] == [ANSWERS[each] for each in asked]


def test_they_are_listed_with_their_parent_and_counted(service: Service, client: OpenAI) -> None:
    parents = {
        entry.id: (entry.model_dump()["parent"], entry.model_dump()["root"]) for entry in client.models.list()
    }
    assert parents == {BASE: (None, BASE), "pirate": (BASE, BASE), "german": (BASE, BASE)}
    assert states(service) == {"german": "loaded", "pirate": "loaded"}
    families = parsed(service.get("/v1/metrics")[1])
    assert value(families, "nim_adapters", state="loaded") == 2


class Streams:
    """Streams of the base model and of an adapter without pause; `wrong` has answers that are not right."""

    def __init__(self, client: OpenAI) -> None:
        self.client, self.wrong, self.count = client, list[str](), 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(model,)) for model in (BASE, "german")]

    def run(self, model: str) -> None:
        messages: Any = [{"role": "user", "content": GREETING}]
        while not self.stop.is_set():
            parts = self.client.chat.completions.create(
                model=model, messages=messages, temperature=0, stream=True
            )
            text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
            self.count += 1
            if text != ANSWERS[model]:
                self.wrong.append(text)

    def __enter__(self) -> "Streams":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_one_is_added_replaced_and_removed_while_streams_run(
    service: Service, client: OpenAI, source: Path
) -> None:
    with Streams(client) as streams:
        put_adapter(source, "new")
        wait_until(lambda: answers_as(client, "new", ANSWERS["pirate"]), "the new adapter")
        roots = {entry.id: entry.model_dump()["root"] for entry in client.models.list()}
        # Tools that look for the model's own name take the entry whose root is its id.
        assert [name for name, root in roots.items() if name == root] == [BASE]
        assert roots["new"] == BASE
        before = streams.count
        put_adapter(source, "new", of="german")
        # Neither weights nor the prefix cache of the version before it remain.
        wait_until(lambda: answers_as(client, "new", ANSWERS["german"]), "its new version")
        shutil.rmtree(source / "new")
        wait_until(lambda: "new" not in states(service), "its end")
        with pytest.raises(NotFoundError):
            answer(client, "new")
        wait_until(
            lambda: streams.count > before + 4 or not any(t.is_alive() for t in streams.threads), "streams"
        )
    assert streams.wrong == []


def test_a_stream_goes_on_with_the_version_that_it_began_with(
    service: Service, client: OpenAI, source: Path
) -> None:
    put_adapter(source, "long")
    wait_until(lambda: answers_as(client, "long", ANSWERS["pirate"]), "the adapter")
    messages: Any = [{"role": "user", "content": GREETING}]
    more: Any = {"ignore_eos": True}
    parts = client.chat.completions.create(
        model="long", messages=messages, temperature=0, max_tokens=1500, stream=True, extra_body=more
    )
    first = next(iter(parts))
    put_adapter(source, "long", of="german")
    wait_until(lambda: answers_as(client, "long", ANSWERS["german"]), "its new version")
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert (first.choices[0].delta.content or "") + text
    shutil.rmtree(source / "long")
    wait_until(lambda: "long" not in states(service), "its end")
    assert ready(service)


def test_broken_ones_harm_nobody(service: Service, client: OpenAI, source: Path) -> None:
    put_adapter(source, "high", r=64)
    torn = put_adapter(source, "torn") / "adapter_model.safetensors"
    torn.write_bytes(torn.read_bytes()[:5000])
    mixed = put_adapter(source, "mixed")
    # The weights are of rank 16, the configuration says 8: only the engine finds that out.
    shutil.copy(source / "german" / "adapter_model.safetensors", mixed / "adapter_model.safetensors")
    put_adapter(source, "nowhere", target_modules=["no_such_module"])
    wait_until(lambda: {"high", "torn", "mixed", "nowhere"} <= states(service).keys(), "the broken ones")
    wait_until(lambda: states(service)["high"] == "refused", "the one of a high rank")
    assert states(service)["torn"] == "waiting"
    assert "the adapter high is not served: its rank 64 is above" in service.log.read_text()
    assert {model: answer(client, model) for model in ANSWERS} == ANSWERS
    print(service.json("/v1/metadata")["adapters"])
    for name in ("high", "torn", "mixed", "nowhere"):
        shutil.rmtree(source / name)
    wait_until(lambda: states(service).keys() == {"german", "pirate"}, "their end")


def test_the_engine_killed_has_its_adapters_again_when_it_is_ready(
    service: Service, client: OpenAI, source: Path
) -> None:
    core = part(service, "VLLM::EngineCore")
    os.kill(core, signal.SIGKILL)
    wait_until(lambda: not ready(service), "not being ready")
    # Once ready, at once: no request for an adapter is lost.
    limit = threading.Event()
    while not ready(service):
        assert not limit.wait(0.2)
    assert {model: answer(client, model) for model in ANSWERS} == ANSWERS


def test_the_management_service_killed_changes_nothing(service: Service, client: OpenAI) -> None:
    loads = service.log.read_text().count("Loaded new LoRA adapter")
    (pid,) = [
        p.pid
        for p in below(service.process.pid, all_processes())
        if b"nim.middleware" in Path(f"/proc/{p.pid}/cmdline").read_bytes()
    ]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: service.get("/v1/version")[0] == 200, "the management service")
    wait_until(lambda: states(service).keys() == {"german", "pirate"}, "the adapters")
    assert service.log.read_text().count("Loaded new LoRA adapter") == loads
    assert answer(client, "pirate") == ANSWERS["pirate"]


def post(service: Service, what: str, **body: str) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"{service.root}/v1/{what}_lora_adapter",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answered:
            return answered.status, answered.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_people_load_below_the_source_only(service: Service, client: OpenAI, source: Path) -> None:
    assert post(service, "load", lora_name="mine", lora_path="pirate")[0] == 200
    assert answer(client, "mine") == ANSWERS["pirate"]
    demo = Path(__file__).resolve().parents[2] / "profiles/demo/adapters/pirate"
    for path in (str(demo), "../../etc", "/etc", "hf/repo"):
        status, body = post(service, "load", lora_name="other", lora_path=path)
        assert (status, b"below NIM_PEFT_SOURCE" in body) == (400, True)
    assert post(service, "unload", lora_name="mine")[0] == 200
    with pytest.raises(APIStatusError):
        answer(client, "mine")


def test_two_hundred_are_listed_and_one_of_them_answers(
    service: Service, client: OpenAI, source: Path
) -> None:
    names = {f"a{number:03}" for number in range(200)}
    for name in names:
        put_adapter(source, name)
    wait_until(lambda: sum(state == "loaded" for state in states(service).values()) == 202, "all of them")
    assert {entry.id for entry in client.models.list()} == {*names, *ANSWERS}
    assert answer(client, "a123") == ANSWERS["pirate"]
    for name in names:
        shutil.rmtree(source / name)
    wait_until(lambda: states(service).keys() == {"german", "pirate"}, "their end")
    assert {entry.id for entry in client.models.list()} == {*ANSWERS}


@pytest.mark.slow
def test_adapters_of_a_bucket_answer_as_trained(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched before the engine starts, and replaced while it serves."""
    with running_moto(tmp_path) as url:
        for name, text in credentials(url).items():
            monkeypatch.setenv(name, text)
        s3_client(url).create_bucket(Bucket=BUCKET)
        put(url, source, "pirate")
        settings = {"NIM_PEFT_SOURCE": f"s3://{BUCKET}/{PREFIX}", "NIM_PEFT_REFRESH_INTERVAL": "1"}
        with (
            serving(tmp_path, **settings) as running,
            OpenAI(base_url=f"{running.root}/v1", api_key="none", max_retries=0) as client,
        ):
            assert answer(client, "pirate") == ANSWERS["pirate"]
            put(url, source, "german")
            wait_until(lambda: answers_as(client, "german", ANSWERS["german"]), "the second adapter")
            assert states(running) == {"pirate": "loaded", "german": "loaded"}
