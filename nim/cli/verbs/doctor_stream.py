"""`nim doctor stream`: check whether the proxy in front of a running service passes streams unharmed."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict

from nim.doctor import (
    ADVICE,
    Finding,
    Limits,
    Service,
    ServiceClient,
    Target,
    examine,
    identify,
    open_client,
    read_target,
)
from nim.errors import SettingsError

MB = 1 << 20
ABOUT = f"""\
{__doc__}

Requests go through the ingress that the service's clients use: some short generations, two long ones that
are left early, one that stays silent, and large requests that the service refuses at once. An API key is read
from VLLM_API_KEY, or from the file that VLLM_API_KEY_FILE names. Exit code 0: no findings; 1: findings."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim doctor stream`: print findings as they are made, then advice; return 1 if any is bad."""
    options = _parser().parse_args(arguments)
    target = read_target(options.url, environ.get("VLLM_API_KEY"))
    if not 0 < options.idle <= 86400:
        raise SettingsError(f"cannot use --idle '{options.idle:g}'", allowed=["seconds, up to 86400"])
    if not 1 <= options.max_body <= 1024:
        raise SettingsError(f"cannot use --max-body '{options.max_body}'", allowed=["MB, from 1 to 1024"])
    limits = Limits(idle_seconds=options.idle, max_body_bytes=options.max_body * MB)
    return asyncio.run(_examine(target, options.model, limits, options.json))


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim doctor stream`."""
    parser = argparse.ArgumentParser(
        prog="nim doctor stream", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="the service's address, as its clients use it")
    parser.add_argument("--model", help="the model to use (default: the first)")
    parser.add_argument(
        "--idle", type=float, default=10, metavar="SECONDS", help="silence that must be tolerated (10)"
    )
    parser.add_argument("--max-body", type=int, default=32, metavar="MB", help="body that must pass (32)")
    parser.add_argument("--json", action="store_true", help="print JSON, with the figures of each check")
    return parser


async def _examine(target: Target, model: str | None, limits: Limits, as_json: bool) -> int:
    """Check the service, print findings and advice; return 1 if a finding is bad, else 0."""
    async with open_client(target) as client:
        service = await identify(client, model)
        if not as_json:
            print(f"{str(target.root).rstrip('/')}: {service}\n", flush=True)
        findings = [finding async for finding in _print_as_found(client, service, limits, quietly=as_json)]
    if as_json:
        print(json.dumps(_data(target, service, findings), ensure_ascii=False, indent=2))
    else:
        print(_conclusion(findings), end="")
    return int(any(finding.is_bad for finding in findings))


async def _print_as_found(
    client: ServiceClient, service: Service, limits: Limits, *, quietly: bool
) -> AsyncIterator[Finding]:
    """Run the checks and yield each Finding, printing it unless `quietly`."""
    async for finding in examine(client, service, limits):
        if not quietly:
            print(f"{finding.verdict.value:<8} {finding.check:<18} {finding.seen}", flush=True)
        yield finding


def _conclusion(findings: Iterable[Finding]) -> str:
    """Return text on the effects of bad findings and the settings that fix them, once per cause."""
    bad = [finding.check for finding in findings if finding.is_bad]
    lines = [""] if bad else ["", "nothing found that would hurt a stream"]
    for advice in dict.fromkeys(ADVICE[check] for check in bad):
        checks = ", ".join(check for check in bad if ADVICE[check] == advice)
        lines.append(f"{checks}: {advice.why}")
        lines += [f"  {ingress:<22} {setting}" for ingress, setting in advice.settings]
    return "\n".join(lines) + "\n"


def _data(target: Target, service: Service, findings: Sequence[Finding]) -> dict[str, object]:
    """Return the result as a dict for JSON; a check without a bad finding has no advice."""
    checks = [
        {
            **asdict(finding),
            "why": ADVICE[finding.check].why if finding.is_bad else None,
            "settings": dict(ADVICE[finding.check].settings) if finding.is_bad else {},
        }
        for finding in findings
    ]
    bad = sum(finding.is_bad for finding in findings)
    return {"url": str(target.root), "service": asdict(service), "findings": bad, "checks": checks}
