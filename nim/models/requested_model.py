"""Which model is requested: a manifest, a directory, a hub repository, or a combination."""

import re

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.models.remote.uris import EXAMPLES, is_remote, name_of, normal_uri, same_scheme
from nim.settings import Settings

DEFAULT_MODEL = "nim/demo"
HUB = "hf://"
COMMAND_LINE = "the command line's model"
# Of the names that the hub gives, none has more than one dot in a row.
_FILE = "file://"
# The scheme with a slash less or in capitals, a page's address, a revision as other tools write it.
_OTHERWISE = re.compile(
    r"((hf|huggingface):/*|https?://(www\.)?(huggingface\.co|hf\.co)/)"
    r"(?P<name>\w[\w.-]*/\w[\w.-]*)(?P<rest>((/(tree|blob|resolve)/|[@:])(?P<revision>[\w.-]+))?(/.*)?)",
    re.ASCII | re.IGNORECASE,
)
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


@frozen_dataclass
class Source:
    """The location of a model's files: a directory, a repository that the engine downloads, or a remote URI.

    `remote` is fetched by the service; `path` is then its place in the cache, None until it is there.
    """

    path: str | None = None
    repository: str | None = None
    revision: str | None = None
    remote: str | None = None

    @property
    def name(self) -> str:
        """Return the repository ("org/name"), the remote's name, or the directory's last part; else ""."""
        if self.remote:
            return name_of(self.remote)
        return self.repository or (self.path or "").rstrip("/").rpartition("/")[2]

    @property
    def uri(self) -> str:
        """Return the source as written in NIM_MODEL_PATH: hf://org/name[:revision], other URI, directory."""
        if self.repository is None:
            return self.remote or self.path or ""
        return HUB + self.repository + (f":{self.revision}" if self.revision else "")


@frozen_dataclass
class ModelWish:
    """`manifest` is a file or a model's name; `source`, where given, is used instead of the manifest's.

    `is_default`: nothing was asked for, and an image may have a model of its own.
    """

    manifest_file: str | None = None
    manifest_name: str | None = None
    source: Source | None = None
    place: str = "the default"
    is_default: bool = False


def wished_model(settings: Settings, positional: str | None, option: str = COMMAND_LINE) -> ModelWish:
    """Return the `ModelWish` by settings and command line; the default model if they name none.

    A source alone needs no manifest. Beside a manifest it says where that model's files already lie.
    """
    name, name_is_path = settings.model_name, (settings.model_name or "").startswith("/")
    text, place = _source_text(settings, positional, name if name_is_path else None)
    place = option if positional else place
    source = read_source(text, place) if text else None
    wished_name = None if name_is_path else name
    if settings.manifest_path:
        return ModelWish(
            manifest_file=settings.manifest_path,
            source=source,
            place=place if source else "NIM_MANIFEST_PATH",
        )
    if wished_name:
        return ModelWish(manifest_name=wished_name, source=source, place=place)
    if source:
        return ModelWish(source=source, place=place)
    return ModelWish(manifest_name=DEFAULT_MODEL, is_default=True)


def read_source(text: str, place: str) -> Source:
    """Return the `Source` of a URI or a path, unchecked. SettingsError for a URI of no known form."""
    meant = _meant(text) or same_scheme(text)
    scheme, separator, rest = text.partition("://")
    if text.startswith(HUB):
        repository, _, revision = rest.partition(":")
        if _REPOSITORY.fullmatch(repository) and ".." not in repository:
            return Source(repository=repository, revision=revision or None)
    elif is_remote(text) and not meant:
        return _remote(text, place)
    elif separator and not meant:
        raise SettingsError(
            f"cannot use {place} '{text}': models from {scheme}:// are not supported",
            allowed=("a directory", "hf://org/name", *EXAMPLES.values()),
            hint="download the model first, then give its directory",
        )
    if text.startswith(HUB) or meant:
        message = (
            f"cannot use {place} '{text}': expected hf://org/name, hf://org/name:revision or a directory"
        )
        raise SettingsError(message, hint=meant)
    return Source(path=text)


def _remote(text: str, place: str) -> Source:
    """Return the `Source` of a remote URI; SettingsError if it is not of its scheme's form."""
    uri = normal_uri(text)
    if uri is None:
        example = EXAMPLES[text.partition("://")[0]]
        raise SettingsError(f"cannot use {place} '{text}': expected {example}", hint=example)
    return Source(remote=uri)


def _meant(text: str) -> str | None:
    """Return the source that a hub page's address or file:// URI means; None for other text."""
    if text.startswith(_FILE):
        return text.removeprefix(_FILE)
    found = _OTHERWISE.fullmatch(text)
    if found is None or (text.startswith(HUB) and not found["rest"]):
        return None
    return HUB + found["name"] + (f":{found['revision']}" if found["revision"] else "")


def _source_text(
    settings: Settings, positional: str | None, path_in_name: str | None
) -> tuple[str | None, str]:
    """Return the text that names the source (None if none), and where it was written."""
    if positional:
        return positional, COMMAND_LINE
    if settings.model_path:
        return settings.model_path, settings.names_used["model_path"]
    return path_in_name, "NIM_MODEL_NAME"
