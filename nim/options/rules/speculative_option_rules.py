"""The engine's rules on speculative decoding that apply to any model and draft."""

from typing import Any

from nim.options.rules.rule_types import Clash, Rule, Said, found, once

_ARGS = "engine/arg_utils.py, EngineArgs.create_speculative_config"
_CONFIG = "config/speculative.py, SpeculativeConfig"
_OPTION = "speculative_config"
_SHORT = {"spec_method": "method", "spec_model": "model", "spec_tokens": "num_speculative_tokens"}
# These methods draft with the model itself, or without a model; all others need a draft model.
_SELF_DRAFTING = ("ngram", "[ngram]", "ngram_gpu", "suffix", "extract_hidden_states", "mtp", "dspark")
_NGRAM = ("ngram", "[ngram]", "ngram_gpu")
_WITHOUT_MODEL = (*_NGRAM, "suffix", "custom_class")
_NOT_ASYNC = ("ngram", "suffix", "medusa", "mlp_speculator", "custom_class")


def drafting(said: Said) -> dict[str, Any]:
    """Return --speculative-config merged with --spec-method and the like, as a dict; {} if none is set."""
    short = {key: said.get(option) for option, key in _SHORT.items() if said.given(option)}
    return said.items(_OPTION) | short


def is_on(said: Said) -> bool:
    """Return True if --speculative-config or one of its short options is set."""
    return said.given(_OPTION) or any(said.given(option) for option in _SHORT)


def draft_model(said: Said) -> tuple[str | None, str]:
    """Return (draft model, option that names it); (None, "") if no draft model is loaded."""
    model = drafting(said).get("model") if is_on(said) else None
    loads = isinstance(model, str) and model not in _NGRAM and _method(drafting(said)) not in _WITHOUT_MODEL
    return (str(model), _named(said)) if loads else (None, "")


def _named(said: Said) -> str:
    """Return the speculative option that is set, as text with value and origin."""
    return said.flag(_OPTION if said.given(_OPTION) else next(name for name in _SHORT if said.given(name)))


def _method(config: dict[str, Any]) -> Any:
    """Return the speculative method; "ngram" if only the model says so; None if unknown."""
    method = config.get("method")
    if isinstance(method, str) and method.endswith("_mtp"):
        return "mtp"
    if method is None and config.get("model") in ("ngram", "[ngram]"):
        return "ngram"
    return method


def _tokens(said: Said) -> Clash | None:
    """Return the Clash of speculative decoding without a number of tokens; None otherwise."""
    config = drafting(said)
    drafts = config.get("model") not in (None, *_NGRAM)
    if not is_on(said) or config.get("num_speculative_tokens") is not None or drafts:
        return None
    if _method(config) == "suffix":
        return None
    message = f'{_named(said)}: it needs "num_speculative_tokens"'
    return found(message, "--speculative-config.num_speculative_tokens 2")


def _positive(said: Said) -> Clash | None:
    """Return the Clash of num_speculative_tokens below 1; None otherwise, and if it is not set."""
    tokens = drafting(said).get("num_speculative_tokens")
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens > 0:
        return None
    return found(f'"num_speculative_tokens" {tokens} of {_named(said)}: it is below 1', "1 or more")


def _model(said: Said) -> Clash | None:
    """Return the Clash of a speculative method without the draft model that it needs; None otherwise."""
    config = drafting(said)
    needless = config.get("model") is not None or _method(config) in _SELF_DRAFTING
    if not is_on(said) or needless or config.get("num_speculative_tokens") is None:
        return None
    if config.get("method") is None:
        hint = '"method": "mtp" or "ngram", or "model": a draft model'
        return found(f"{_named(said)}: it names neither a method nor a draft model", hint)
    return found(
        f'{_named(said)}: the method {config["method"]} needs a draft "model"', '"model": hf://… the draft'
    )


def _draft_size(said: Said) -> Clash | None:
    """Return the Clash of the draft's tensor-parallel size with the model's; None otherwise."""
    config = drafting(said)
    if config.get("tensor_parallel_size") is not None:
        return found(f'"tensor_parallel_size" of {_named(said)}', '"draft_tensor_parallel_size"')
    size, whole = config.get("draft_tensor_parallel_size"), int(said.number("tensor_parallel_size") or 1)
    if size is None or size in (1, whole) or _method(config) in (*_NGRAM, "suffix", "custom_class"):
        return None
    message = (
        f'"draft_tensor_parallel_size" {size} of {_named(said)} with {said.flag("tensor_parallel_size")}'
    )
    return found(message, " or ".join(sorted({"1", str(whole)})))


def _lookup(said: Said) -> Clash | None:
    """Return the Clash of an n-gram lookup whose minimum is above its maximum; None otherwise."""
    config = drafting(said)
    low, high = config.get("prompt_lookup_min"), config.get("prompt_lookup_max")
    if _method(config) not in _NGRAM or low is None or high is None or low <= high:
        return None
    return found(
        f'"prompt_lookup_min" {low} of {_named(said)}: it is above "prompt_lookup_max" {high}', f"{high}"
    )


def _synthetic(said: Said) -> Clash | None:
    """Return the Clash of inconsistent settings for synthetic acceptance; None otherwise."""
    config = drafting(said)
    names = ("synthetic_acceptance_rates", "synthetic_acceptance_length")
    given = [name for name in names if config.get(name) is not None]
    if config.get("rejection_sample_method") == "synthetic":
        hint = f'either "{names[0]}" or "{names[1]}"'
        return (
            found(f'"rejection_sample_method": "synthetic" of {_named(said)}', hint)
            if len(given) != 1
            else None
        )
    return (
        found(f'"{given[0]}" of {_named(said)}', '"rejection_sample_method": "synthetic"') if given else None
    )


def _vocabularies(said: Said) -> Clash | None:
    """Return the Clash of use_heterogeneous_vocab with method or sampling; None otherwise."""
    config = drafting(said)
    if not config.get("use_heterogeneous_vocab"):
        return None
    if config.get("method") not in (None, "draft_model"):
        return found(f'"use_heterogeneous_vocab" of {_named(said)}', '"method": "draft_model"')
    if config.get("draft_sample_method", "greedy") != "greedy":
        return found(f'"use_heterogeneous_vocab" of {_named(said)}', '"draft_sample_method": "greedy"')
    return None


def _asynchronous(said: Said) -> Clash | None:
    """Return the Clash of --async-scheduling with the speculative method; None otherwise."""
    config = drafting(said)
    if said.get("async_scheduling") is not True or not is_on(said):
        return None
    if (method := _method(config)) in _NOT_ASYNC:
        message = f"{said.flag('async_scheduling')} with the method {method} of {_named(said)}"
        return found(message, "--no-async-scheduling")
    if config.get("disable_padded_drafter_batch"):
        message = f'{said.flag("async_scheduling")} with "disable_padded_drafter_batch" of {_named(said)}'
        return found(message, "--no-async-scheduling")
    return None


def _adaptive(said: Said) -> Clash | None:
    """Return the Clash of adaptive verification with LoRA or pipeline stages; None otherwise."""
    config = drafting(said)
    if not config.get("enable_adaptive_verification"):
        return None
    message = f'"enable_adaptive_verification" of {_named(said)} with '
    if said.get("enable_lora"):
        return found(message + said.flag("enable_lora"), "one of the two")
    if (said.number("pipeline_parallel_size") or 1) > 1:
        return found(message + said.flag("pipeline_parallel_size"), "one of the two")
    return None


def _slots(said: Said) -> Clash | None:
    """Return the Clash of LoRA with drafts of all sequences exceeding one step; None otherwise."""
    names = ("max_num_batched_tokens", "max_num_seqs")
    batched, sequences = (said.number(name) for name in names)
    tokens = drafting(said).get("num_speculative_tokens")
    if not said.get("enable_lora") or not all(map(said.given, names)) or not isinstance(tokens, int):
        return None
    least = (sequences or 0) * (tokens + 1)
    if batched is None or batched >= least:
        return None
    flags = f"{said.flag('max_num_batched_tokens')} with {said.flag('max_num_seqs')}"
    message = f"{flags}, {tokens} drafts and adapters"
    return found(message, f"--max-num-batched-tokens {least:.0f}")


def _metrics(said: Said) -> Clash | None:
    """Return the Clash of metrics of speculative decoding while it is off; None otherwise."""
    if said.get("per_request_spec_decode_metrics") in (None, "none") or is_on(said):
        return None
    return found(
        f"{said.flag('per_request_spec_decode_metrics')}: nothing is drafted", "--speculative-config"
    )


SPECULATIVE: tuple[Rule, ...] = (
    *(once(option, _OPTION, key, source=_ARGS) for option, key in _SHORT.items()),
    Rule(source=f"{_CONFIG}._verify_args", find=_tokens),
    Rule(source=_CONFIG, find=_positive),
    Rule(source=f"{_CONFIG}.__post_init__", find=_model),
    Rule(source=f"{_CONFIG}._verify_args, _verify_and_get_draft_tp", find=_draft_size),
    Rule(source=f"{_CONFIG}.__post_init__", find=_lookup),
    Rule(source=f"{_CONFIG}._resolve_synthetic_acceptance_rates", find=_synthetic),
    Rule(source=f"{_CONFIG}._verify_args", find=_vocabularies),
    Rule(source="config/vllm.py, VllmConfig.__post_init__", find=_asynchronous),
    Rule(source="config/vllm.py, VllmConfig._validate_adaptive_verification", find=_adaptive),
    Rule(source="engine/arg_utils.py, EngineArgs.create_engine_config", find=_slots),
    Rule(source="config/vllm.py, VllmConfig.__post_init__", find=_metrics),
)
