"""How a program ended: by exit code or signal."""

from signal import Signals

from nim.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class ProgramExit:
    """How a program ended: by exit code or signal; both None if unknown. `why`: why it was not started."""

    code: int | None = None
    signal: int | None = None
    why: str | None = None

    def __str__(self) -> str:
        if self.why is not None:
            return f"not started: {self.why}"
        if self.signal is not None:
            return f"killed by {Signals(self.signal).name}"
        return "exit code unknown" if self.code is None else f"exit code {self.code}"
