"""Examine a running service through its public address: what a proxy in front of it does to streams."""

from nim.doctor.advice import ADVICE, Advice
from nim.doctor.checks import Limits, examine
from nim.doctor.findings import Finding, Verdict
from nim.doctor.http_client import Caller, opened
from nim.doctor.service import Service, identify
from nim.doctor.target import Target, read_target

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
