"""Restart policy: number of attempts and exponential delay between them."""

from nim.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class RestartPolicy:
    """Limits on restarts. The delay doubles with each consecutive loss.

    `tries`: how many consecutive restarts, None for no limit. A run of `healthy_seconds` resets the count.
    """

    first_delay_seconds: float
    longest_delay_seconds: float
    tries: int | None
    healthy_seconds: float


ENGINE = RestartPolicy(first_delay_seconds=1, longest_delay_seconds=16, tries=5, healthy_seconds=300)
NGINX = RestartPolicy(first_delay_seconds=0, longest_delay_seconds=0, tries=2, healthy_seconds=60)
MIDDLEWARE = RestartPolicy(first_delay_seconds=0.2, longest_delay_seconds=30, tries=None, healthy_seconds=60)


@frozen_dataclass
class RestartPolicies:
    """The restart policy of each program."""

    engine: RestartPolicy = ENGINE
    nginx: RestartPolicy = NGINX
    middleware: RestartPolicy = MIDDLEWARE


class RestartCounter:
    """Counts consecutive losses of one program."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self.in_a_row = 0

    def lost(self, well_seconds: float) -> float | None:
        """Count a loss; return the seconds to wait before the next start, None if there must be none.

        `well_seconds`: how long the program ran before the loss.
        """
        if well_seconds >= self._policy.healthy_seconds:
            self.in_a_row = 0
        self.in_a_row += 1
        if self._policy.tries is not None and self.in_a_row > self._policy.tries:
            return None
        doubled = self._policy.first_delay_seconds * 2.0 ** min(self.in_a_row - 1, 32)
        return min(doubled, self._policy.longest_delay_seconds)
