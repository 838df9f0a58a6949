"""Errors name the value, its origin, and what can be written instead."""

import os

import pytest

from nim.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        ("fetch -p nope", 5, "cannot use the profile 'nope' (-p): ", "list-model-profiles"),
        ("fetch -p vllm-bf16-tp1", 5, "cannot use the profile 'vllm-bf16-tp1' (-p): ", "-p vllm-"),
        ("fetch --model-uri foo", 6, "cannot use 'foo' (from --model-uri): ", "NIM_MODEL_PATH=hf://"),
        ("store -m s --model-repo foo", 6, "cannot use 'foo' (from --model-repo): ", "NIM_MODEL_PATH=hf://"),
        ("fetch --model-uri hf://../..", 2, "cannot use --model-uri 'hf://../..': expected ", ""),
        ("fetch --model-uri hf://a/b..c", 2, "cannot use --model-uri 'hf://a/b..c': expected ", ""),
        ("plan hf://.git/x", 2, "cannot use the command line's model 'hf://.git/x': expected ", ""),
        ("store -m /etc/passwd", 2, "cannot make a store in '/etc/passwd': it is no dir", "--model-store …"),
        ("store -m /etc/passwd/x", 7, "cannot make a store in '/etc/passwd/x': Not a", "--model-store …"),
        ("settings NIM_MULTI_NODE", 2, "cannot describe 'NIM_MULTI_NODE': one model on several", "a profile"),
        ("settings NIM_ENABLE_OTEL", 2, "cannot describe 'NIM_ENABLE_OTEL': it is not supp", "NIM_PASSTHR"),
        ("settings NIM_TELEMETRY_MODE", 2, "cannot describe 'NIM_TELEMETRY_MODE': it may be set", "nim set"),
        ("settings NIM_NONSENSE", 2, "cannot describe 'NIM_NONSENSE': there is no such setting", "nim set"),
    ],
)
def test_what_is_wrong_is_named_as_it_was_written(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    code: int,
    message: str,
    hint: str,
) -> None:
    for name in os.environ:
        if name.startswith("NIM_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("nim.cli.verbs.fetch.end_at_signals", lambda _: None)
    monkeypatch.setattr("nim.cli.verbs.store.end_at_signals", lambda _: None)
    assert main(arguments.split()) == code
    said = capsys.readouterr().err
    assert said.startswith(f"nim: {message}")
    assert f"  hint: {hint}" in said if hint else "hint" not in said
