"""Context shared by all checks of a run: client, service, limits, generation API."""

from dataclasses import dataclass, field
from math import ceil

from nim.doctor.http_client import REQUEST_TIMEOUT_SECONDS, ServiceClient
from nim.doctor.identify_service import Service
from nim.doctor.scrape_engine_metrics import Counts, scrape
from nim.doctor.timed_stream import GenerationApi
from nim.frozen_dataclass import frozen_dataclass

RESERVED_FOR_PROMPT = 256


@frozen_dataclass
class Limits:
    """Limits of the checks: the silence to survive and the body to pass."""

    idle_seconds: float
    max_body_bytes: int


@dataclass(slots=True, kw_only=True)
class CheckContext:
    """Context of a run. `token_seconds` is the time per token as measured so far."""

    client: ServiceClient
    service: Service
    limits: Limits
    api: GenerationApi = field(init=False)
    token_seconds: float = 0.02

    def __post_init__(self) -> None:
        self.api = GenerationApi(self.client, self.service)

    @property
    def most_tokens(self) -> int:
        """Return the number of tokens that an answer may have, so that it fits the model's context."""
        return max(16, self.service.context - RESERVED_FOR_PROMPT)

    def tokens_for(self, seconds: float) -> int:
        """Return how many tokens the engine generates in `seconds`, at most `most_tokens`."""
        return min(self.most_tokens, ceil(seconds / self.token_seconds))

    async def counts(self, seconds: float = REQUEST_TIMEOUT_SECONDS) -> Counts | None:
        """Fetch the engine's metrics and return them as Counts; None if they cannot be read."""
        page = self.service.metrics_page
        return await scrape(self.client, page, seconds) if page else None
