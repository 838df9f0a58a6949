"""Find a profile by name: NIM_MODEL_PROFILE and NIM_TAGS_SELECTOR against a manifest."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nim.errors import ProfileError, SettingsError, nearest
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest import Manifest, Profile
from nim.selection.fit_types import Wishes

AUTOMATIC = "default"
VARIANT_TAG = "variant"
PROFILE_VARIABLE = "NIM_MODEL_PROFILE"
TAGS_VARIABLE = "NIM_TAGS_SELECTOR"
_MEMORY_SUFFIX = re.compile(r"-\d+(\.\d+)?$")


@frozen_dataclass
class Asked:
    """The profile and variants that the user named. `profile` None means automatic choice."""

    profile: Profile | None
    variants: tuple[str, ...]


def find_asked(
    manifest: Manifest, text: str | None, tags: Mapping[str, str], place: str = PROFILE_VARIABLE
) -> Asked:
    """Return the Asked profile and variants in `NAME+VARIANT` (None: automatic); ProfileError if unknown.

    `place` is where that was written: a variable, or an option of the command line.
    """
    name, *variants = (text or AUTOMATIC).strip().split("+")
    variants += [part for part in tags.get(VARIANT_TAG, "").split("+") if part]
    for variant in variants:
        _check_variant(manifest, variant, place)
    automatic = name.lower() in ("", AUTOMATIC)
    return Asked(
        profile=None if automatic else find_profile(manifest, name, place),
        variants=tuple(dict.fromkeys(variants)),
    )


def with_speculation(asked: Asked, manifest: Manifest, wishes: Wishes) -> Asked:
    """Return `asked` with the manifest's first variant for speculative decoding, if that is wished for."""
    for name, variant in manifest.variants.items() if wishes.speculates else ():
        if speculates(variant.engine.args):
            return asked if name in asked.variants else replace(asked, variants=(*asked.variants, name))
    return asked


def speculates(args: Mapping[str, Any]) -> bool:
    """Return whether options of a profile or a variant have speculative decoding."""
    return any(name.replace("-", "_") == "speculative_config" for name in args)


def find_profile(manifest: Manifest, name: str, place: str = PROFILE_VARIABLE) -> Profile:
    """Return the Profile with this id, id prefix or label; ProfileError for none or several."""
    wanted = name.lower()
    by_id = [profile for profile in manifest.profiles if profile.id.startswith(wanted)]
    found = by_id or [
        profile for profile in manifest.profiles if plain_label(profile.label) == plain_label(wanted)
    ]
    if not found:
        raise _unknown_profile(manifest, name, place)
    if len(found) > 1:
        names = tuple(f"{profile.id[:12]} ({profile.label})" for profile in found)
        message = f"cannot use the profile '{name}' ({place}): {len(found)} profiles are called so"
        raise ProfileError(message, allowed=names, hint=_given(place, found[0].id))
    return found[0]


def plain_label(label: str) -> str:
    """Return a label normalised for comparison: lower case, no memory suffix, no maker, one LoRA spelling."""
    plain = _MEMORY_SUFFIX.sub("", label.strip().lower().replace("_lora", "-lora"))
    return plain.replace("-feat-lora", "-lora").replace("-nvidia-", "-")


def with_variants(manifest: Manifest, profile: Profile, names: Sequence[str]) -> Profile:
    """Return a copy of the profile with the variants' options merged over its own, in order."""
    if not names:
        return profile
    engine = profile.engine
    for name in names:
        engine = engine.under(manifest.variants[name].engine)
    return replace(profile, engine=engine, tags={**profile.tags, VARIANT_TAG: "+".join(names)})


def parse_tags(items: Iterable[str], manifest: Manifest) -> dict[str, str]:
    """Return a dict from `tag=value` items; SettingsError for other text, ProfileError for unknown tags."""
    known = sorted({tag for profile in manifest.profiles for tag in profile.tags} | {VARIANT_TAG})
    tags = {}
    for item in items:
        tag, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            message = f"cannot read '{item}' ({TAGS_VARIABLE}): it is not tag=value"
            raise SettingsError(message, hint=f"{TAGS_VARIABLE}=precision=fp8,tp=2")
        if tag not in known:
            message = f"cannot use the tag '{tag}' ({TAGS_VARIABLE}): no profile of the manifest has it"
            raise ProfileError(
                message, allowed=tuple(known), hint=_near(tag, known, f"{TAGS_VARIABLE}={{}}={value}")
            )
        tags[tag] = value
    return tags


def _check_variant(manifest: Manifest, name: str, place: str) -> None:
    """Raise ProfileError if the manifest has no variant of this name; else return None."""
    if name not in manifest.variants:
        known = sorted(manifest.variants)
        model = manifest.name or "the model"
        message = f"cannot add the variant '{name}': the manifest of {model} has none so called"
        raise ProfileError(message, allowed=known, hint=_near(name, known, _given(place, "default+{}")))


def _unknown_profile(manifest: Manifest, name: str, place: str) -> ProfileError:
    """Return (not raise) the ProfileError for an unknown name, with the most similar labels."""
    labels = [profile.label for profile in manifest.profiles]
    near = nearest(plain_label(name), [plain_label(label) for label in labels])
    likely = [label for label in labels if plain_label(label) in near]
    message = f"cannot use the profile '{name}' ({place}): no id begins so, and no label is that"
    hint = _given(place, likely[0]) if likely else "list-model-profiles"
    return ProfileError(message, allowed=(*(likely or labels)[:8], AUTOMATIC), hint=hint)


def _given(place: str, text: str) -> str:
    """Return what to type: `--flag text` or `VARIABLE=text`."""
    return f"{place} {text}" if place.startswith("-") else f"{place}={text}"


def _near(name: str, known: Sequence[str], shape: str) -> str | None:
    """Return the text `shape` filled with the most similar known name; None if none is similar."""
    near = nearest(name, known, count=1)
    return shape.format(near[0]) if near else None
