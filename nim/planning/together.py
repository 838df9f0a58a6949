"""Whether the resolved options go together, with each other and with what lies on the disk."""

from collections.abc import Mapping
from pathlib import Path

from nim.engine import OptionTable
from nim.manifest import Manifest
from nim.models.adapters import read_adapters
from nim.models.files import read_config
from nim.models.source import Source
from nim.options.adapter_rules import check_adapters
from nim.options.combinations import check_combinations
from nim.options.rules import Said
from nim.selection.select import Selection
from nim.values import Value


def check_together(
    config: Mapping[str, Value],
    table: OptionTable,
    selection: Selection,
    source: Source,
    manifest: Manifest,
    *,
    strict: bool,
    made_up: bool,
) -> tuple[str, ...]:
    """Return what to warn of. SettingsError for what the engine is certain to refuse."""
    said = Said(config=config, table=table, on_cpu=selection.profile.on_cpu)
    warnings = check_combinations(said, strict=strict)
    modules = said.get("lora_modules")
    if not isinstance(modules, list) or not modules:
        return warnings
    # A machine that is made up has its own files.
    adapters = [one for one in read_adapters(modules) if not (made_up and one.is_missing)]
    return (*warnings, *check_adapters(said, adapters, _names(source, manifest), strict=strict))


def _names(source: Source, manifest: Manifest) -> tuple[str, ...]:
    """What says which model it is: a repository, a manifest that names it, or the name in its own files."""
    known = [source.repository or "", (manifest.name or "") if manifest.model else ""]
    if source.path:
        known.append(_own_name(Path(source.path)))
    return tuple(name for name in known if name)


def _own_name(directory: Path) -> str:
    try:
        return str(read_config(directory).root.values.get("_name_or_path") or "")
    except (OSError, ValueError):
        return ""
