"""Examine a running service through its public address: whether a proxy in front of it harms streams."""

from nim.doctor.advice import ADVICE, Advice
from nim.doctor.findings import Finding, Verdict
from nim.doctor.http_client import ServiceClient, open_client
from nim.doctor.identify_service import Service, identify
from nim.doctor.parse_service_address import Target, read_target
from nim.doctor.run_checks import Limits, examine

__all__ = [
    "ADVICE",
    "Advice",
    "Finding",
    "Limits",
    "Service",
    "ServiceClient",
    "Target",
    "Verdict",
    "examine",
    "identify",
    "open_client",
    "read_target",
]
