"""The conformance kit on the image, started and stopped as by the NIM operator."""

import shlex

from nim.cli.main import ABSENT
from tests.conformance_test.test_ours import failed, judge
from tests.image.container import READY_SECONDS
from tests.image.storage import IMAGE, Storage

MODEL = "/opt/nim/profiles/demo/model"


def test_our_image_conforms(storage: Storage) -> None:
    how = ("--tool", shlex.join(storage.podman), "--run-option=--network=host", "--model-path", MODEL)
    seconds = READY_SECONDS + 600
    results = judge("--image", IMAGE, "--ready-seconds", str(READY_SECONDS), *how, seconds=seconds)
    # Commands that the image says it does not have.
    assert set(failed(results)) <= {f"{name} explains itself" for name in ABSENT}, failed(results)
    left_out = {name for name, one in results.items() if one["verdict"] == "skipped"}
    assert left_out <= {"the health port answers both"}, left_out  # which the operator does not set
    assert results["the manifest can be printed by sh and cat"]["verdict"] == "pass"
    assert results["NIM_MODEL_NAME may be a path"]["verdict"] == "pass"
