"""What a workflow is to the server, whoever wrote it."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from nim.agent.workflows.workflow_context import Context, Request


class Workflow(Protocol):
    """A workflow. `in_parts` decides which of the two methods a request uses."""

    def in_parts(self, request: Request, /) -> bool:
        """Return whether the answer to this request comes in parts."""
        ...

    async def run(self, request: Request, context: Context) -> Any:
        """Return the whole answer."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...

    def parts(self, request: Request, context: Context) -> AsyncGenerator[Any, None]:
        """Yield the answer in parts; texts belong together without anything between them."""
        ...
