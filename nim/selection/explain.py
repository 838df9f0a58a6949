"""The decision in words, for `nim plan --explain`."""

from nim.selection.select import Selection, Step, describe


def explain(selection: Selection) -> str:
    """The steps in order, then every profile that was not chosen, nearest miss first."""
    lines = ["how the profile was chosen", *(_step(step) for step in selection.steps)]
    lines += (
        [f"  devices    GPU {', '.join(str(gpu.index) for gpu in selection.devices)}"]
        if selection.devices
        else []
    )
    lines += [f"  note       {warning}" for warning in selection.warnings]
    if selection.refused:
        lines += ["not chosen", *(describe(refusal) for refusal in selection.refused)]
    return "\n".join(lines) + "\n"


def _step(step: Step) -> str:
    return f"  {step.name:<10} {step.text}"
