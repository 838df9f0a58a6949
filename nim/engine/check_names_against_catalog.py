"""Refusals of names that the engine does not know, with the nearest known name or the release that has it."""

import json
from collections.abc import Mapping, Sequence

from nim.engine.arguments.argument_error_messages import Refusal, refuse_all
from nim.engine.supported_names_catalog import NAMED, Catalog, Elsewhere, Named, Way
from nim.errors import WeightsError, nearest
from nim.value_origins import Layer, Origin, Value

_TRY = "NIM_STRICT_ARGS=0 lets the engine try"
_MAX_LISTED = 12
OTHER_WEIGHTS = "the model's unquantized checkpoint with --quantization fp8, or one by compressed-tensors"
_SLIP = 0.92  # above this similarity, an architecture's name is taken for a misspelling


def unknown_architecture(
    architectures: Sequence[str],
    catalog: Catalog,
    *,
    place: str,
    model_impl: str = "auto",
    remote_code: bool = False,
    trusted: bool = False,
) -> Refusal | None:
    """Return the Refusal of a model whose architectures vLLM cannot load; None if it can, or may.

    `place` says where the names come from. `remote_code`: the configuration's `auto_map` names a model class,
    which is unknown here; `trusted`: that class may be executed.
    """
    if not architectures or (remote_code and trusted) or catalog.resolve(architectures, model_impl):
        return None
    name = next(
        (name for name in architectures if catalog.elsewhere("architectures", name)), architectures[0]
    )
    message = f'cannot load the architecture "{name}" ({place}): vLLM {catalog.version} '
    if remote_code:
        return Refusal(message=f"{message}would run the model's own code for it", hint="--trust-remote-code")
    if plugin := catalog.rows["plugin_architectures"].get(name):
        return Refusal(message=f"{message}has it in a plugin only", hint=f"pip install git+{plugin}")
    if elsewhere := catalog.elsewhere("architectures", name):
        return Refusal(message=f"{message}{elsewhere}", hint=_install(elsewhere))
    if model_impl != "auto" and catalog.resolve(architectures):
        return Refusal(message=f"{message}has no {model_impl} implementation of it", hint="--model-impl auto")
    near = _alike(name, catalog.names("architectures"))
    overrides = json.dumps({"architectures": [near]})
    hint = f"--hf-overrides '{overrides}', if that is meant" if near else None
    return Refusal(message=f"{message}does not know it", allowed=(near,) if near else (), hint=hint)


def transformers_note(architectures: Sequence[str], catalog: Catalog, model_impl: str = "auto") -> str | None:
    """Return a warning if vLLM falls back to the Transformers backend unasked; None otherwise."""
    found = catalog.resolve(architectures, model_impl)
    if found is None or found.way is not Way.TRANSFORMERS or found.architecture is not None:
        return None
    if model_impl == "transformers":
        return None
    plugin = catalog.rows["plugin_architectures"].get(found.name)
    elsewhere = catalog.elsewhere("architectures", found.name)
    instead = f"; {plugin} has one" if plugin else f"; {_install(elsewhere)} has one" if elsewhere else ""
    return (
        f"vLLM {catalog.version} has no implementation of {found.name} and takes that of Transformers, which "
        f"it may find unsuitable while it loads{instead}"
    )


def unknown_quantization(
    quant_method: str,
    catalog: Catalog,
    *,
    place: str,
    detail: str | None = None,
    asked: str | None = None,
    allow_deprecated: bool = False,
) -> Refusal | None:
    """Return the Refusal of a checkpoint quantized by `quant_method`; None if vLLM can load it.

    `detail` is ModelOpt's `quant_algo` or the model's type. `asked` is the value of `--quantization`, which
    must agree with the checkpoint.
    """
    found = catalog.checkpoint(quant_method, detail)
    message = f'cannot load weights quantized by "{quant_method}" ({place}): '
    if found is None:
        return _unknown_method(quant_method, catalog, message)
    if asked is not None and asked not in found.asked:
        return Refusal(
            message=f"{message}--quantization {asked} is another method",
            allowed=tuple(found.asked)[:_MAX_LISTED],
            hint="leave out --quantization",
        )
    method = catalog.quantization(found.asked[asked] if asked else found.method)
    if method and method.deprecated and not allow_deprecated:
        return Refusal(
            message=f"{message}vLLM {catalog.version} is about to drop it and asks for consent",
            hint="--allow-deprecated-quantization",
        )
    return None


def needless_quantization(
    asked: str | None, files: Sequence[str], catalog: Catalog, *, place: str
) -> Refusal | None:
    """Return the Refusal of `--quantization` for weights not quantized so; None if it can be used.

    `files` are the names of the JSON files beside it, one of which may say so.
    """
    method = catalog.quantization(asked) if asked else None
    if method is None or not method.needs_config:
        return None
    found = [name for name in files if name.endswith(method.config_files)]
    if len(found) == 1:
        return None
    message = f"cannot load the weights ({place}) by --quantization {asked}: "
    if found:
        return Refusal(
            message=f"{message}{' and '.join(found)} both say how they are quantized", hint="one of them"
        )
    online = tuple(name for name in catalog.names("quantization") if _is_online(name, catalog))
    return Refusal(
        message=f"{message}nothing says that they are quantized so",
        allowed=online,
        hint="leave out --quantization, or --quantization fp8 to quantize them while they are loaded",
    )


def _is_online(name: str, catalog: Catalog) -> bool:
    """Return True if the engine itself quantizes by method `name` at load; False if it is unknown."""
    found = catalog.quantization(name)
    return found is not None and found.online


def refuse(refusal: Refusal | None, *, strict: bool = True) -> tuple[str, ...]:
    """Raise WeightsError for a Refusal; not strict: return (warning,). Return () if `refusal` is None."""
    if refusal is None:
        return ()
    if strict:
        hint = "; ".join(part for part in (refusal.hint, _TRY) if part)
        raise WeightsError(refusal.message, allowed=refusal.allowed, hint=hint)
    return (refusal.one_line(),)


def check_named_values(
    config: Mapping[str, Value], catalog: Catalog, *, strict: bool = True
) -> tuple[str, ...]:
    """Return warnings; SettingsError for options whose value (a parser, backend …) vLLM does not know.

    Raises SettingsError for names that the engine certainly refuses; without `strict` these become warnings.
    A parser is not checked if a plugin is given, which may add it.
    """
    refused: list[Refusal] = []
    warnings: list[str] = []
    for option, named in NAMED.items():
        refusal = _unknown_value(option, named, config, catalog)
        if refusal is None:
            continue
        if strict and (named.only_with is None or _said(config, named.only_with)):
            refused.append(refusal)
        else:
            warnings.append(refusal.one_line())
    if refused:
        raise refuse_all(refused, "the options")
    return tuple(warnings)


def _unknown_value(
    option: str, named: Named, config: Mapping[str, Value], catalog: Catalog
) -> Refusal | None:
    """Return the Refusal of an option whose value is not in the catalog; None if it is, or is unset."""
    value = config.get(option)
    if value is None or not value.value or (named.plugin and _said(config, named.plugin)):
        return None
    text, known = str(value.value), catalog.names(named.section)
    if text in known or (option == "attention_backend" and text.upper() in (*known, "AUTO")):
        return None
    flag = f"--{option.replace('_', '-')}"
    message = f'cannot use "{text}" for {flag} (from {value.origin.place}): vLLM {catalog.version} '
    elsewhere = catalog.elsewhere(named.section, text)
    near = nearest(text, known, 3)
    plugin = f"--{named.plugin.replace('_', '-')} FILE for one of your own" if named.plugin else _TRY
    return Refusal(
        message=message + (str(elsewhere) if elsewhere else f"has no such {named.thing}"),
        allowed=near or known[:_MAX_LISTED],
        hint=_write(flag, near[0], value.origin) if near else plugin,
    )


def _unknown_method(quant_method: str, catalog: Catalog, message: str) -> Refusal:
    """Return the Refusal of a quantization method that vLLM does not know, with the nearest name."""
    elsewhere = catalog.elsewhere("quantization", quant_method.removesuffix("_4bit").removesuffix("_8bit"))
    near = nearest(quant_method, catalog.names("checkpoints"), 1)
    said = elsewhere or "has no such method" + (f'; the nearest is "{near[0]}"' if near else "")
    return Refusal(message=f"{message}vLLM {catalog.version} {said}", hint=OTHER_WEIGHTS)


def _install(elsewhere: Elsewhere) -> str:
    """Return the pip command, as text, that installs a vLLM release with the missing name."""
    return f"pip install vllm=={elsewhere.last or elsewhere.first}"


def _alike(name: str, known: Sequence[str]) -> str | None:
    """Return the known name most similar to `name`; None if none is similar enough for a typo."""
    from difflib import SequenceMatcher  # slow to import, and needed only when something is wrong

    near = nearest(name, known, 1)
    return near[0] if near and SequenceMatcher(None, name, near[0]).ratio() > _SLIP else None


def _write(flag: str, name: str, origin: Origin) -> str:
    """Return what to type for the option: `VARIABLE=name` where a variable set it, else `--flag name`."""
    return f"{origin.place}={name}" if origin.layer is Layer.ENV else f"{flag} {name}"


def _said(config: Mapping[str, Value], option: str) -> bool:
    """Return True if the option is in `config` with a true value."""
    return option in config and bool(config[option].value)
