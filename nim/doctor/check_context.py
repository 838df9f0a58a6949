"""Context shared by all checks of a run."""

from dataclasses import dataclass, field
from math import ceil

from nim.doctor.engine_metrics import Counts, scrape
from nim.doctor.http_client import REQUEST_TIMEOUT_SECONDS, ServiceClient
from nim.doctor.identify_service import Service
from nim.doctor.timed_stream import GenerationApi

RESERVED_FOR_PROMPT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the checks: the silence to survive and the body to pass."""

    idle_seconds: float
    max_body_bytes: int


@dataclass(slots=True, kw_only=True)
class CheckContext:
    """`token_seconds` is the engine's pace as shown by the streams so far."""

    client: ServiceClient
    service: Service
    limits: Limits
    api: GenerationApi = field(init=False)
    token_seconds: float = 0.02

    def __post_init__(self) -> None:
        self.api = GenerationApi(self.client, self.service)

    @property
    def most_tokens(self) -> int:
        """Return the number of tokens that fit the model's context."""
        return max(16, self.service.context - RESERVED_FOR_PROMPT)

    def tokens_for(self, seconds: float) -> int:
        """Return the tokens that keep the engine busy for this time, limited by the context."""
        return min(self.most_tokens, ceil(seconds / self.token_seconds))

    async def counts(self, seconds: float = REQUEST_TIMEOUT_SECONDS) -> Counts | None:
        """Read the engine's metrics now."""
        page = self.service.metrics_page
        return await scrape(self.client, page, seconds) if page else None
