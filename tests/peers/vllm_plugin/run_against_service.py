"""A pytest plugin for vLLM's own tests: the server that they would start is the service at SERVICE_ROOT."""

import os
from typing import Self

import tests.utils  # type: ignore[import-untyped]


class RunningService:
    """What vLLM's tests ask of a server that they have started."""

    def __init__(self, *_: object) -> None:
        self.root = os.environ["SERVICE_ROOT"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def url_for(self, *parts: str) -> str:
        """Return the address of a path."""
        return self.root + "/" + "/".join(parts)


tests.utils.RemoteLaunchRenderServer = RunningService
