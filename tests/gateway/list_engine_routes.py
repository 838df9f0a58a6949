"""Print every route of the installed vLLM as JSON, from its applications and its source.

Run as a program: it imports the undivided engine, and its environment must say so before that.
"""

import ast
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

ENVIRONMENT = {
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_ENABLE_COHERE_API": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""What makes the engine add routes, apart from flags."""

FLAGS = [
    "--enable-scale-out",
    "--enable-tokenizer-info-endpoint",
    "--enable-fault-tolerance",
    '--profiler-config={"profiler":"torch","torch_profiler_dir":"/tmp"}',
]
DOCS: tuple[list[str], ...] = ([], ["--enable-offline-docs"])
METHODS = {"get", "post", "put", "delete", "patch", "head", "options", "websocket"}


def of_applications() -> Iterator[tuple[str, str]]:
    """Yield the routes of applications with every task and every flag that adds some."""
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.tasks import SupportedTask
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())
    # Only asked which pooling task it has; "embed" brings the scoring routes too.
    model = types.SimpleNamespace(get_pooling_task=lambda _: "embed", architecture=None)
    for docs in DOCS:
        app = build_app(parser.parse_args([*FLAGS, *docs]), tuple(literals(SupportedTask)), model)
        for route in app.routes:
            yield from of_route(route)


def of_route(route: Any) -> Iterator[tuple[str, str]]:
    """Yield a route, or the files of a mounted directory."""
    directory = getattr(getattr(route, "app", None), "directory", None)
    if directory:
        for file in Path(directory).iterdir():
            yield "GET", f"{route.path}/{file.name}"
        return
    for method in getattr(route, "methods", None) or {"GET"}:
        yield method, route.path


def of_source(package: Path) -> Iterator[tuple[str, str]]:
    """Yield whatever a decorator declares, whether or not its package or condition is there."""
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                yield from of_decorators(node.decorator_list)


def of_decorators(decorators: list[ast.expr]) -> Iterator[tuple[str, str]]:
    for call in decorators:
        match call:
            case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(path)), *_]):
                if method in METHODS and path.startswith("/"):
                    yield ("GET" if method == "websocket" else method.upper()), path


def literals(kind: Any) -> Iterator[str]:
    """Yield the strings of nested Literals."""
    for argument in get_args(kind):
        if isinstance(argument, str):
            yield argument
        else:
            yield from literals(argument)


def main() -> None:
    import vllm

    package = Path(vllm.__file__).parent / "entrypoints"
    routes = sorted({*of_applications(), *of_source(package)})
    json.dump({"version": vllm.__version__, "routes": routes}, sys.stdout)


if __name__ == "__main__":
    os.environ.update(ENVIRONMENT)
    main()
