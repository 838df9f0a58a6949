"""Detect the phase of an engine's start from vLLM's log lines. Unknown lines are ignored.

A phase lasts until a line reports the next one. For a release that was not examined it is unknown.
"""

import re

from nim.frozen_dataclass import frozen_dataclass
from nim.service_state import Phase

IN_ORDER = (Phase.SELECT, Phase.FETCH, Phase.LOAD, Phase.COMPILE, Phase.WARM_UP)
# Phases a start can be in. For a release whose lines are unknown, UNKNOWN is the only one.
STARTING = (Phase.SELECT, Phase.UNKNOWN, *IN_ORDER[1:])

DOING = {
    Phase.SELECT: "the engine is starting",
    Phase.FETCH: "the engine is fetching the model",
    Phase.LOAD: "the engine is loading the weights",
    Phase.COMPILE: "the engine is compiling the model",
    Phase.WARM_UP: "the engine is warming up",
}

# Titles of the loaders' progress bars: each counts files or tensors.
_LOADING = r"(?:Loading|Multi-thread loading) [\w ]{0,60}(?:shards|Streamer|loader)"

# Releases whose log lines were examined (CPU and GPU). Add a release after doing that.
RELEASES = ("0.32.",)
# Log lines of vLLM, GPU and CPU. `done` and `all` are counts; a line without them has no progress.
_KNOWN = tuple(
    (phase, re.compile(pattern))
    for phase, pattern in (
        (Phase.FETCH, r"^fetching \w+://"),
        (Phase.FETCH, r"Starting to load model "),
        (Phase.LOAD, r"Time spent downloading weights for "),
        (Phase.LOAD, _LOADING + r": .*\| (?P<done>\d+)/(?P<all>\d+) "),
        (Phase.LOAD, r"Prefetching checkpoint files: \d+% \((?P<done>\d+)/(?P<all>\d+)\)"),
        (Phase.LOAD, r"Prefetching checkpoint files into page cache (?:started|finished)"),
        (Phase.LOAD, r"(?:Loading weights|Model loading) took "),
        (Phase.COMPILE, r"Starting torch\.compile|Using cache directory: .* for vLLM's torch\.compile"),
        (Phase.COMPILE, r"Dynamo bytecode transform time|Compiling a graph for compile range"),
        (Phase.COMPILE, r"Directly load the compiled graph|Warming up model for the compilation"),
        (Phase.WARM_UP, r"Capturing (?:[\w-]+ ){0,3}CUDA graphs .*\| (?P<done>\d+)/(?P<all>\d+) "),
        (
            Phase.WARM_UP,
            r"Available KV cache memory|KV cache size: |Graph capturing finished|Warming up done",
        ),
        (
            Phase.WARM_UP,
            r"init engine \(profile, create kv cache, warmup model\) took |Starting vLLM server on ",
        ),
    )
)
# Of the service's own downloader, after which the engine is started.
_FETCHED = re.compile(r"fetched \w+://")
_SERVING = "Application startup complete"


@frozen_dataclass
class Step:
    """Phase and progress of a start. `progress` is 0 to 1, or None."""

    phase: Phase
    message: str
    progress: float | None = None


class Start:
    """The phases of one start. `fetches`: the engine downloads the model itself."""

    def __init__(self, *, fetches: bool, release: str | None) -> None:
        self._fetches, self._release = fetches, release
        self.serving = False
        self.phase = Phase.SELECT if (release or "").startswith(RELEASES) else Phase.UNKNOWN

    def begin(self) -> Step:
        """Return the first Step: the engine is starting; for an unknown release that progress is unknown."""
        if self.phase is Phase.UNKNOWN:
            message = f"{DOING[Phase.SELECT]}; progress is not known for release {self._release}"
            return Step(phase=Phase.UNKNOWN, message=message)
        return Step(phase=self.phase, message=DOING[self.phase])

    def read(self, line: str) -> Step | None:
        """Return the Step that a log line of vLLM shows; None if it shows none, or a phase already over."""
        self.serving = self.serving or _SERVING in line
        if self.phase is Phase.UNKNOWN:
            return None
        if self.phase is Phase.FETCH and _FETCHED.match(line):
            self._fetches, self.phase = False, Phase.SELECT
            return Step(phase=Phase.SELECT, message=DOING[Phase.SELECT])
        for known, pattern in _KNOWN:
            if match := pattern.search(line):
                phase = known if known is not Phase.FETCH or self._fetches else Phase.LOAD
                return self._step(phase, match)
        return None

    def _step(self, phase: Phase, match: re.Match[str]) -> Step | None:
        """Return the Step for a phase, with the progress counted in `match`; None if the phase is over."""
        if IN_ORDER.index(phase) < IN_ORDER.index(self.phase):
            return None
        self.phase = phase
        counts = match.groupdict()
        if "done" not in counts:
            return Step(phase=phase, message=DOING[phase])
        done, total = int(counts["done"]), int(counts["all"])
        message = f"{DOING[phase]}: {done} of {total}"
        return Step(phase=phase, message=message, progress=done / total if total else None)
