"""The service's settings: declaration, reading from the environment, description."""

from nim.settings.declared import Settings, declared
from nim.settings.describe_settings import settings_data, settings_markdown
from nim.settings.read import read_settings
from nim.settings.read_secrets import with_secrets

__all__ = ["Settings", "declared", "read_settings", "settings_data", "settings_markdown", "with_secrets"]
