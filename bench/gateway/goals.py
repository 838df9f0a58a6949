"""The gateway's performance goals and whether they are met, as ratios and differences within a run."""

from dataclasses import dataclass

from bench.gateway.figures import DIRECT, NOISE, Figure, Samples

OURS = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`target` over `other` in one figure of one scenario, or their difference, or, without an `other`, the
    figure itself: at most `limit`."""

    text: str
    scenario: str
    figure: str
    limit: float
    other: str = ""
    ambition: float | None = None
    target: str = OURS
    difference: bool = False

    def reached(self, samples: Samples) -> Figure | None:
        """Return the figure that is compared; None where it was not measured."""
        if not self.other:
            return samples.figure(self.scenario, self.target, self.figure)
        if self.difference:
            return samples.added(self.scenario, self.target, self.figure, over=self.other)
        return samples.ratio(self.scenario, self.target, self.other, self.figure)

    def word(self, found: Figure | None) -> str:
        """Return the verdict, short enough for a table."""
        if found is None:
            return "not measured"
        if found.median > self.limit:
            return "missed"
        return "met, ambition too" if self.ambition and found.median <= self.ambition else "met"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal beside what was measured. `at_least` turns the limit round."""

    text: str
    figure: Figure | None
    limit: float
    word: str
    ambition: float | None = None
    at_least: bool = False


def judge(samples: Samples) -> list[Verdict]:
    """Return every goal."""
    return [*(_judged(goal, samples) for goal in GOALS), *_real(samples)]


def _judged(goal: Goal, samples: Samples) -> Verdict:
    found = goal.reached(samples)
    word = goal.word(found)
    return Verdict(text=goal.text, figure=found, limit=goal.limit, word=word, ambition=goal.ambition)


def _real(samples: Samples) -> list[Verdict]:
    """Return the verdicts on tokens per second with the real engine, within the direct path's own noise."""
    scenarios = dict.fromkeys(sample.scenario for sample in samples.all if sample.block == "real")
    return [verdict for scenario in scenarios if (verdict := _within_noise(samples, scenario))]


def _within_noise(samples: Samples, scenario: str) -> Verdict | None:
    ours = samples.ratio(scenario, OURS, DIRECT, "events_per_second")
    noise = samples.ratios(scenario, NOISE, DIRECT, "events_per_second")
    if ours is None or not noise:
        return None
    lowest = min([*noise, *(1 / ratio for ratio in noise)])  # which of the two came first means nothing
    transport, streams = scenario.split("-")
    return Verdict(
        text=f"tokens/s of the real vLLM ({transport}, {streams} streams) over direct; direct's own noise",
        figure=ours,
        limit=lowest,
        word="met" if ours.median >= lowest else "missed",
        at_least=True,
    )


def _request(text: str, other: str, limit: float, ambition: float | None = None, target: str = OURS) -> Goal:
    return Goal(
        text=f"CPU per JSON request, 64 connections, over {text}",
        scenario="json-64",
        figure="cpu_us",
        other=other,
        limit=limit,
        ambition=ambition,
        target=target,
    )


def _event(text: str, other: str, limit: float, target: str = OURS) -> Goal:
    return Goal(
        text=f"CPU per paced event, 64 streams, over {text}",
        scenario="paced-64",
        figure="cpu_us",
        other=other,
        limit=limit,
        target=target,
    )


def _gap(streams: int) -> Goal:
    return Goal(
        text=f"p99 of the gaps above the direct path's, {streams} streams, µs",
        scenario=f"tokens-{streams}",
        figure="gap_p99",
        other=DIRECT,
        limit=5_000,
        difference=True,
    )


GOALS = (
    _request("HAProxy's (TCP behind it)", "haproxy", 1.1, 1.0),
    _request("HAProxy's, unix socket behind both", "haproxy-unix", 1.1, 1.0),
    _request("HAProxy's, TCP behind both", "haproxy", 1.1, 1.0, "gateway-tcp"),
    _request("the forwarder's, unix socket behind both", "forwarder-unix", 1.6, 1.45),
    _request("the forwarder's, TCP behind both", "forwarder", 1.6, 1.45, "gateway-tcp"),
    _event("the forwarder's, unix socket behind both", "forwarder-unix", 1.05),
    _event("the forwarder's, TCP behind both", "forwarder", 1.05, "gateway-tcp"),
    _request("Envoy's", "envoy", 0.4),
    _request("sglang-router's", "sglang-router", 0.18),
    _request("vllm-router's", "vllm-router", 0.18),
    _request("LiteLLM's", "litellm", 0.0012),
    *(_gap(streams) for streams in (1, 16, 64)),
    Goal(text="events merged at 1 stream", scenario="tokens-1", figure="merged", limit=0),
    Goal(
        text="p99 of live while 64 connections keep it busy, µs",
        scenario="live",
        figure="latency_p99",
        limit=100_000,
    ),
)
