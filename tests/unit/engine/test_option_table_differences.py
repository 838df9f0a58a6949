from typing import Any

from nim.engine.option_table_differences import drift_between, remembering


def table(
    version: str, options: dict[str, Any], variables: dict[str, Any] | None = None, **values: Any
) -> dict[str, Any]:
    return {
        "version": version,
        "options": options,
        "variables": variables or {},
        "variable_values": values,
    }


def row(flag: str, **more: Any) -> dict[str, Any]:
    return {"flags": [flag], "kind": "integer", "count": "one", "group": "x", **more}


def test_no_drift() -> None:
    here = table("1.0.0", {"a": row("--a", help="one")})
    there = table("1.0.0", {"a": row("--a", help="another", default=3)})
    assert drift_between(here, there).is_empty


def test_another_release_alone_is_drift() -> None:
    assert not drift_between(table("1.0.0", {}), table("1.1.0", {})).is_empty


def test_what_changed() -> None:
    here = table("1.0.0", {"a": row("--a"), "b": row("--b"), "c": row("--c")}, {"V": 1})
    there = table("1.1.0", {"a": row("--a", choices=[1]), "c": row("--c"), "d": row("--d")}, {"W": 1})
    drift = drift_between(here, there)
    assert (drift.table, drift.installed) == ("1.0.0", "1.1.0")
    assert (drift.added, drift.removed) == (("d",), ("b",))
    assert drift.changed == {"a": {"choices": (None, [1])}}
    assert (drift.variables_added, drift.variables_removed) == (("W",), ("V",))


def test_a_variable_that_takes_other_values_is_drift() -> None:
    here, there = table("1.0.0", {}, A={"kind": "number"}), table("1.0.0", {}, A={"choices": ["x"]})
    drift = drift_between(here, there)
    assert drift.variables_changed == {"A": ({"kind": "number"}, {"choices": ["x"]})}
    assert not drift.is_empty


def test_the_history_grows_by_what_went_and_keeps_its_replacements() -> None:
    history = {
        "about": "x",
        "releases": ["0.9.0"],
        "options": {"--old": {"last_seen": "0.9.0", "use": "--a"}},
        "variables": {},
    }
    older = table(
        "0.10.0",
        {"a": row("--a"), "old": row("--old"), "b": {**row("--b"), "negatives": ["--no-b"]}},
        {"V": 1},
    )
    grown = remembering(history, older, table("1.0.0", {"a": row("--a")}))
    assert grown == {
        "about": "x",
        "releases": ["0.9.0", "0.10.0"],
        "options": {
            "--b": {"last_seen": "0.10.0"},
            "--no-b": {"last_seen": "0.10.0"},
            "--old": {"last_seen": "0.10.0", "use": "--a"},
        },
        "variables": {"V": {"last_seen": "0.10.0"}},
    }
    assert history["options"] == {"--old": {"last_seen": "0.9.0", "use": "--a"}}
