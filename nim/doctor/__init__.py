"""ACT: the service as its clients reach it, and what whoever stands before it does to streams."""

from nim.ingress.advice import ADVICE, Advice
from nim.ingress.caller import Caller, opened
from nim.ingress.checks import Limits, examine
from nim.ingress.findings import Finding, Verdict
from nim.ingress.service import Service, identify
from nim.ingress.target import Target, read_target

__all__ = [
    "ADVICE",
    "Advice",
    "Caller",
    "Finding",
    "Limits",
    "Service",
    "Target",
    "Verdict",
    "examine",
    "identify",
    "opened",
    "read_target",
]
