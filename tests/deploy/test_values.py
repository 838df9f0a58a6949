"""The chart's values against its schema, and what the schema refuses."""

import json
from typing import Any

import jsonschema
import pytest

from nim.settings.declared import SECRETS
from tests.deploy.files import CHART, VALUES, Object, values
from tests.deploy.helm import Refused, notes, render
from tests.deploy.test_schemas import SETTINGS

SCHEMA: Any = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def over(defaults: Object, changes: Object) -> Object:
    """As Helm puts values over defaults: mappings merge, null removes."""
    merged = dict(defaults)
    for key, value in changes.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = over(old, value) if both and isinstance(old, dict) else value
    return {key: value for key, value in merged.items() if value is not None or key not in changes}


@pytest.mark.parametrize("setting", SETTINGS)
def test_values_and_examples_fit_the_schema(setting: str) -> None:
    jsonschema.validate(over(values(), SETTINGS[setting]), SCHEMA)


@pytest.mark.parametrize("name", VALUES)
def test_an_example_changes_something(name: str) -> None:
    assert over(values(), values(name)) != values()


def test_each_value_is_in_the_schema_and_each_of_the_schema_is_a_value() -> None:
    assert set(SCHEMA["properties"]) - {"global"} == set(values())


def test_the_secrets_are_those_that_are_declared() -> None:
    assert SCHEMA["properties"]["extraSecrets"]["items"]["properties"]["name"]["enum"] == list(SECRETS)


@pytest.mark.parametrize(
    "bad",
    [
        {"modle": {}},
        {"model": {"logLevel": "loud"}},
        {"model": {"openaiPort": 70000}},
        {"persistence": {"size": 50}},
        {"persistence": {"accessMode": "ReadWrite"}},
        {"startup": {"downloadMBps": 0}},
        {"shutdown": {"seconds": "two minutes"}},
        {"livenessProbe": {"failureThreshold": None}},
        {"startupProbe": {"successThreshold": 2}},
        {"livenessProbe": {"successThreshold": 2}},
        {"secretsAs": "plain"},
        {"extraSecrets": [{"name": "MY_SECRET", "secret": "a", "key": "b"}]},
        {"nfs": {"enabled": True}},
        {"ingress": {"enabled": True}},
    ],
)
def test_bad_values_are_refused_before_anything_is_rendered(bad: Object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(over(values(), bad), SCHEMA)
    with pytest.raises(Refused, match=next(iter(bad))):
        render(bad)


def test_several_nodes_are_refused_in_words() -> None:
    with pytest.raises(Refused, match="cannot spread one model over several nodes yet"):
        render({"multiNode": {"enabled": True}})


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"model": {"healthPort": 8000}}, "model.healthPort: cannot be 8000, which is model.openaiPort"),
        ({"model": {"nimCache": "/tmp/"}}, "model.nimCache: cannot be /tmp/, where another volume"),
        ({"autoscaling": {"enabled": True, "minReplicas": 5}}, "cannot be 5 with maxReplicas 4"),
    ],
)
def test_values_that_do_not_go_together_are_refused_in_words(bad: Object, words: str) -> None:
    with pytest.raises(Refused, match=words):
        render(bad)


def test_the_readiness_probe_may_ask_for_several_successes() -> None:
    assert render({"readinessProbe": {"successThreshold": 2}})
    assert render({"autoscaling": {"enabled": False, "minReplicas": 5}})


def test_the_notes_tell_the_times_and_the_price_of_an_empty_dir() -> None:
    assert "A start may take 1500 s" in notes()
    assert "A stop may take 125 s" in notes()
    assert "downloads its model again" in notes()
    assert "downloads its model again" not in notes({"persistence": {"enabled": True}})
