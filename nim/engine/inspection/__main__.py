"""Write the catalog of the installed engine, and its configuration classes.

`python -m nim.engine.inspection [--out DIR]`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nim.engine.inspection.catalog import catalog_text, installed_catalog, remember
from nim.engine.inspection.hf_config_defaults import class_rows
from nim.engine.option_table import OPTIONS_DIR


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the catalog and configs JSON files and update the history; return exit code 0. Imports vLLM."""
    parser = argparse.ArgumentParser(prog="python -m nim.engine.inspection", description=__doc__)
    parser.add_argument("--out", type=Path, default=OPTIONS_DIR, metavar="DIR")
    out: Path = parser.parse_args(arguments).out
    catalog = installed_catalog()
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"catalog-{catalog['version']}.json"
    written.write_text(catalog_text(catalog), encoding="utf-8")
    remember(out, written, catalog)
    sys.stdout.write(f"{written}: {len(catalog['architectures'])} architectures\n")
    classes = {"version": catalog["version"], "classes": class_rows()}
    written = out / f"configs-{catalog['version']}.json"
    written.write_text(catalog_text(classes), encoding="utf-8")
    sys.stdout.write(f"{written}: {len(classes['classes'])} configuration classes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
