"""The address of the service to examine, validated and reduced to its root."""

from yarl import URL

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass

EXAMPLE = "nim doctor stream --url https://nim.example.com"


@frozen_dataclass
class Target:
    """A service's address. `root` has no path except an ingress prefix; `key` is secret."""

    root: URL
    key: str | None = None

    def url(self, path: str) -> URL:
        """Return the URL of `path` below the root of the service."""
        return self.root.with_path(self.root.path.rstrip("/") + path)


def read_target(text: str, key: str | None = None) -> Target:
    """Return the Target for a URL, less a final `/v1`; SettingsError if it is unusable. No request."""
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise SettingsError(f"cannot use --url '{text}': {error}", hint=EXAMPLE) from None
    if url.scheme not in ("http", "https") or not url.host or port is None:
        hint = EXAMPLE if "://" in text else f"nim doctor stream --url http://{text}"
        raise SettingsError(
            f"cannot use --url '{text}': it is no address of a service",
            allowed=("http://HOST[:PORT][/PREFIX]", "https://HOST[:PORT][/PREFIX]"),
            hint=hint,
        )
    if url.user or url.password:
        raise SettingsError("cannot use --url: it holds a password", hint=f"VLLM_API_KEY=… {EXAMPLE}")
    path = url.path.rstrip("/").removesuffix("/v1")
    return Target(root=url.with_path(path or "/").with_query(None).with_fragment(None), key=key or None)
