"""Paths of the project's data, the same in a checkout and in an image."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ROOT / "profiles"
NGINX_TEMPLATES = ROOT / "nginx"
SUPERVISORD_CONF = ROOT / "supervisord.conf"
ENGINE_TEMPLATES = Path(__file__).resolve().parent / "templates"
LICENSE = ROOT / "LICENSE"
IMAGE_MANIFEST = ROOT / "etc" / "default" / "model_manifest.yaml"
ENGINE_CACHE = Path(sys.prefix) / "share" / "nim" / "engine-cache"
"""What vLLM caches at first starts, made at set-up; one directory for each release."""
