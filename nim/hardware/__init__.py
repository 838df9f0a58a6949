"""A machine's hardware as a frozen value: detected, read from a file, or synthetic."""

from nim.hardware.check_driver_version import refuse_old_driver
from nim.hardware.describe_hardware import describe_hardware
from nim.hardware.detect import detect_hardware
from nim.hardware.hardware_file import hardware_from_json, hardware_to_json, load_hardware
from nim.hardware.hardware_from_gpus_option import hardware_from_gpus
from nim.hardware.types import Gpu, Hardware, Host, Mig

__all__ = [
    "Gpu",
    "Hardware",
    "Host",
    "Mig",
    "describe_hardware",
    "detect_hardware",
    "hardware_from_gpus",
    "hardware_from_json",
    "hardware_to_json",
    "load_hardware",
    "refuse_old_driver",
]
