"""What goes wrong on the way is survived, or named with what to do; nothing half is ever served."""

from pathlib import Path

import pytest

from nim.errors import OutOfReach, PreflightError, WeightsError
from nim.fetch.download.fetch_refusals import AGAIN
from tests.sources.conftest import Downloader, make_model
from tests.sources.file_server import serving_files

WEIGHTS = "model.safetensors"


def test_files_arrive_unchanged_and_only_those_that_the_engine_loads(model: Path, fetch: Downloader) -> None:
    with serving_files(model) as server:
        done = fetch(f"{server.url}/model")
        assert done.files == 3
        assert done.fetched_bytes == done.total_bytes
        assert fetch.same(f"{server.url}/model", model / "model")
        assert not any("picture" in line and line.startswith("GET") for line in server.asked)
        assert not (done.directory.parent / "partial").exists()


def test_what_is_complete_needs_no_network(model: Path, fetch: Downloader) -> None:
    with serving_files(model) as server:
        uri = f"{server.url}/model"
        fetch(uri)
        asked = len(server.asked)
        assert fetch(uri).fetched_bytes == 0
        assert len(server.asked) == asked
    assert fetch(uri).fetched_bytes == 0


def test_a_refresh_fetches_only_what_has_changed(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_files(model) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        fetch("s3://model")
        config = model / "model" / "config.json"
        config.write_text('{"model_type": "llama", "changed": true}')
        before = server.sent_bytes
        done = fetch("s3://model", refresh=True)
        assert done.fetched_bytes == server.sent_bytes - before == config.stat().st_size
        assert fetch.same("s3://model", model / "model")


@pytest.mark.usefixtures("no_delays")
def test_what_breaks_off_goes_on_where_it_ended(model: Path, fetch: Downloader) -> None:
    with serving_files(model, cut_after=100_000, cuts=2) as server:
        uri = f"{server.url}/model"
        done = fetch(uri)
        assert fetch.same(uri, model / "model")
        # What a cut connection still had in its buffers is lost; nothing else is sent again.
        assert server.sent_bytes < done.total_bytes + 200_000
        starts = {
            int(one["range"].removeprefix("bytes=").split("-")[0]) for one in server.headers if "range" in one
        }
        assert len(starts) == 2
        assert min(starts) >= 16 * 1024
    assert any("again in" in line and "try 1 of" in line for line in fetch.lines)


@pytest.mark.usefixtures("no_delays")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_transient_answer_is_asked_again(model: Path, fetch: Downloader, status: int) -> None:
    with serving_files(model, statuses=[status, status]) as server:
        uri = f"{server.url}/model"
        fetch(uri)
        assert fetch.same(uri, model / "model")
    assert any(f"it answered {status}" in line and line.startswith("WARNING") for line in fetch.lines)


@pytest.mark.usefixtures("no_delays")
def test_a_server_that_stays_ill_is_given_up(model: Path, fetch: Downloader) -> None:
    with serving_files(model, statuses=[503] * 1000) as server:
        with pytest.raises(OutOfReach, match=r"it answered 503 .* for ") as caught:
            fetch(f"{server.url}/model")
        assert caught.value.exit_code == 6
        assert caught.value.hint == AGAIN
        server.faults.statuses.clear()
        fetch(f"{server.url}/model")
        assert fetch.same(f"{server.url}/model", model / "model")


@pytest.mark.parametrize(("status", "hint"), [(401, "NIM_SOURCE_TOKEN=…"), (403, "NIM_SOURCE_TOKEN=…")])
def test_a_refusal_names_what_was_used_and_what_can_be_set(
    model: Path, fetch: Downloader, status: int, hint: str
) -> None:
    refused = pytest.raises(WeightsError, match=f"it answered {status} .*, asked with no token")
    with serving_files(model, status_for_all=status) as server, refused as caught:
        fetch(f"{server.url}/model")
    assert caught.value.hint == hint
    assert caught.value.exit_code == 6


@pytest.mark.usefixtures("no_delays")
def test_flipped_bytes_are_fetched_again(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_files(model, flip=WEIGHTS, flips=1) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        fetch("s3://model")
        assert fetch.same("s3://model", model / "model")
    assert any("and the source states md5:" in line and "it is fetched again" in line for line in fetch.lines)


@pytest.mark.usefixtures("no_delays")
def test_bytes_that_are_wrong_each_time_are_never_served(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_files(model, flip=WEIGHTS) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(WeightsError, match=r"model.safetensors arrived with md5:.*, twice"):
            fetch("s3://model")
    assert not (Path(fetch.remote("s3://model").directory) / "current").exists()


def test_a_wrong_checksum_list_is_found(model: Path, fetch: Downloader) -> None:
    (model / "model" / "SHA256SUMS").write_text(
        "".join(f"{'0' * 64}  {name}\n" for name in ("config.json", "tokenizer.json", WEIGHTS))
    )
    refused = pytest.raises(WeightsError, match="and the source states sha256:0000")
    with serving_files(model) as server, refused:
        fetch(f"{server.url}/model")


def test_a_file_that_changes_meanwhile_is_not_mixed(model: Path, fetch: Downloader) -> None:
    weights = model / "model" / WEIGHTS
    with serving_files(model, cut_after=150_000, cuts=1) as server:
        listed = server.pace

        def change(count: int) -> None:
            """Change the file once half of it was sent."""
            if server.sent_bytes > 100_000:
                server.pace = listed  # type: ignore[method-assign]
                weights.write_bytes(b"x" + weights.read_bytes()[1:])
            listed(count)

        server.pace = change  # type: ignore[method-assign]
        with pytest.raises(WeightsError, match="has changed at the source"):
            fetch(f"{server.url}/model")
        fetch(f"{server.url}/model")
        assert fetch.same(f"{server.url}/model", model / "model")


def test_a_disk_that_is_too_small_is_known_before_the_first_byte(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (model / "model" / WEIGHTS).open("ab") as file:
        file.truncate(8 * 10**12)
    monkeypatch.setattr("tests.sources.file_server.etag", lambda _: '"x"')
    with serving_files(model) as server:
        with pytest.raises(PreflightError, match=r"8000.0 GB are missing, and '.*' has .* free") as caught:
            fetch(f"{server.url}/model")
        assert server.sent_bytes == 0
    assert "NIM_CACHE_PATH" in str(caught.value.hint)


def test_a_server_without_ranges_serves_small_files_and_is_named_for_others(
    model: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_files(model, ranges=False) as server:
        fetch(f"{server.url}/model")
        assert fetch.same(f"{server.url}/model", model / "model")
        monkeypatch.setattr("nim.fetch.download.partial_file.SEGMENT_BYTES", 100_000)
        make_model(model / "other")
        with pytest.raises(WeightsError, match="it does not serve ranges of a file"):
            fetch(f"{server.url}/other")


def test_what_is_no_index_is_said(model: Path, fetch: Downloader) -> None:
    with serving_files(model) as server:
        with pytest.raises(WeightsError, match="answered something that is no index page") as caught:
            fetch(f"{server.url}/model/model.safetensors")
        assert "SHA256SUMS" in str(caught.value.hint)
        with pytest.raises(WeightsError, match=r"it answered 404 .* for "):
            fetch(f"{server.url}/nothing")
