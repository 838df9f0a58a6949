"""Checks of a manifest beyond its syntax, for `nim profiles --check`."""

import re
from collections import Counter
from collections.abc import Iterator

from nim.manifest.profile_ids import wrong_ids
from nim.manifest.types import Manifest

LABEL = re.compile(
    r"[a-z0-9_]+(-[a-z0-9]+)*-(nvfp4|mxfp4|mxfp8|fp8|fp16|fp32|bf16|int8|int4)-tp[1-9]\d*-pp[1-9]\d*"
    r"(-latency|-throughput)?(-feat_lora)?"
)


def manifest_problems(manifest: Manifest) -> tuple[str, ...]:
    """Return a sentence for each problem of a manifest (ids, labels, patterns); () if there is none."""
    return tuple(_problems(manifest))


def _problems(manifest: Manifest) -> Iterator[str]:
    """Yield a sentence per wrong id, duplicate or malformed label, missing source and invalid pattern."""
    for profile, expected in wrong_ids(manifest):
        yield f"line {profile.line}: the id of {profile.label} is not that of its content: {expected}"
    labels = Counter(profile.label for profile in manifest.profiles)
    for label, count in labels.items():
        if count > 1:
            yield f"{count} profiles are called {label}: NIM_MODEL_PROFILE cannot tell them apart"
        if not LABEL.fullmatch(label):
            yield f"the label {label} is not vllm-[gpu-]precision-tpN-ppM[-latency|-throughput][-feat_lora]"
    for profile in manifest.profiles:
        if profile.source is None and not profile.files:
            yield f"line {profile.line}: {profile.label} does not say where its weights are"
        if pattern := profile.tags.get("product_name_regex"):
            yield from _bad_pattern(pattern, profile.line)


def _bad_pattern(pattern: str, line: int | None) -> Iterator[str]:
    """Yield a sentence if `pattern` is not a regular expression; else nothing."""
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"line {line}: the tag product_name_regex is not a regular expression: {error}"
