"""Checks of the image: commands, manifest, labels, and the environment that the operator sets."""

import yaml

from tests.conformance.check import Check, Failed, Skipped, check, expect
from tests.conformance.launcher import Launcher
from tests.conformance.manifest import problems
from tests.conformance.target import Target

IMAGE: list[Check] = []
OPERATOR = "NIM operator"
COMMANDS = "NIM documentation, actions of the image"
NIM_LOG = {"NIM_JSONL_LOGGING": "1", "NIM_LOG_LEVEL": "INFO"}
MANIFESTS = ("/opt/nim/etc/default/model_manifest.yaml", "/etc/nim/config/model_manifest.yaml")
# The operator's pod does the same and then sleeps; it reads the log.
NOT_FOUND = "model_manifest.yaml not found"
CAT = f"cat {MANIFESTS[0]} 2>/dev/null || cat {MANIFESTS[1]} 2>/dev/null || echo '{NOT_FOUND}'"
NATIVE = "com.nvidia.nim.model_download_protocol"


def needs_launcher(target: Target) -> Launcher:
    if target.launcher is None:
        raise Skipped("no --image and no --program")
    return target.launcher


def _image(target: Target) -> Launcher:
    launcher = needs_launcher(target)
    if launcher.image is None:
        raise Skipped("a program is no image")
    return launcher


def operator_environment(store: str, port: int, health_port: int) -> dict[str, str]:
    """Return the variables that the operator sets for every service, and a health port."""
    return {
        "NIM_CACHE_PATH": store,
        "OUTLINES_CACHE_DIR": "/tmp/outlines",
        "NIM_SERVER_PORT": str(port),
        "NIM_HTTP_API_PORT": str(port),
        "NIM_HEALTH_PORT": str(health_port),
        **NIM_LOG,
    }


@check(
    IMAGE,
    "the manifest can be printed by sh and cat",
    f"{OPERATOR}, reading the manifest from a pod's log",
    "C9",
    "C10",
)
def manifest(target: Target) -> str:
    done = _image(target).run_alone(["sh", "-c", CAT])
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]}")
    if NOT_FOUND in done.stdout:
        return "none, so the operator takes it for model-free"
    found = problems(yaml.safe_load(done.stdout))
    expect(not found, "; ".join(found[:3]))
    return f"{len(done.stdout)} characters"


@check(IMAGE, "it sleeps when told to", f"{OPERATOR}, whose reading pod ends in a sleep", "C9")
def sleeps(target: Target) -> None:
    done = _image(target).run_alone(["sh", "-c", "sleep 0"])
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]}")


@check(IMAGE, "it is not labelled for the other protocol", f"{OPERATOR}, which looks at {NATIVE}", "C19")
def label(target: Target) -> None:
    found = _image(target).label(NATIVE)
    expect(not found, f"it is {found!r}")


@check(IMAGE, "list-model-profiles lists", COMMANDS, "C12", "C13")
def profiles(target: Target) -> None:
    done = needs_launcher(target).run(["list-model-profiles"], NIM_LOG)
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]}")
    expect("MODEL PROFILES" in done.stdout, f"no heading MODEL PROFILES: {done.stdout[:80]!r}")


def _help(target: Target, command: str) -> None:
    done = needs_launcher(target).run([command, "-h"], {})
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stderr.strip()[-200:]}")
    expect("usage" in (done.stdout + done.stderr).lower(), "says nothing of its usage")


@check(IMAGE, "nim-serve explains itself", COMMANDS, "C12")
def nim_serve(target: Target) -> None:
    _help(target, "nim-serve")


@check(IMAGE, "list-model-profiles explains itself", COMMANDS, "C12")
def list_model_profiles(target: Target) -> None:
    _help(target, "list-model-profiles")


@check(IMAGE, "download-to-cache explains itself", f"{COMMANDS}; {OPERATOR}'s cache job", "C11")
def download_to_cache(target: Target) -> None:
    _help(target, "download-to-cache")


@check(IMAGE, "create-model-store explains itself", f"{COMMANDS}; {OPERATOR}'s cache job", "C11")
def create_model_store(target: Target) -> None:
    _help(target, "create-model-store")


@check(
    IMAGE,
    "an unknown profile is refused with an exit code",
    f"{OPERATOR}, whose Job must see the failure",
    "C11",
    "C13",
)
def unknown_profile(target: Target) -> str:
    done = needs_launcher(target).run(["nim-serve", "--dry-run"], {"NIM_MODEL_PROFILE": "0" * 64})
    expect(done.returncode != 0, "exit code 0")
    if not (done.stdout + done.stderr).strip():
        raise Failed("says nothing")
    return f"exit code {done.returncode}"


@check(IMAGE, "the operator's environment is taken", f"{OPERATOR}, the variables it always sets", "C16")
def environment(target: Target) -> None:
    launcher = needs_launcher(target)
    if target.running is None:
        raise Skipped("it was not started here")
    expect(target.running.alive(), f"started with it, it ended: {target.running.log()[-400:]}")
    expect(launcher.store(), "no directory for models")


@check(
    IMAGE, "NIM_MODEL_NAME may be a path", f"{OPERATOR}, which sets it so for a universal image", "C16", "C21"
)
def model_path(target: Target) -> None:
    if target.model_path is None:
        raise Skipped("no --model-path")
    done = needs_launcher(target).run(["list-model-profiles"], {"NIM_MODEL_NAME": target.model_path})
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stderr.strip()[-200:]}")
