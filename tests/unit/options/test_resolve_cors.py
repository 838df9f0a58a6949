"""Which pages may use the service, from variables and from the engine's own flags."""

from collections.abc import Mapping
from typing import Any

import pytest

from nim.errors import SettingsError
from nim.hardware import hardware_from_gpus
from nim.plan import Cors, Plan
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.settings import read_settings

MUTUAL_TLS = {
    "NIM_SSL_MODE": "MTLS",
    "NIM_SSL_KEY_PATH": "/tls/key.pem",
    "NIM_SSL_CERTS_PATH": "/tls/certs.pem",
    "NIM_SSL_CA_CERTS_PATH": "/tls/ca.pem",
    "NIM_HEALTH_PORT": "8001",
}
ORIGINS = "NIM_CORS_ALLOW_ORIGINS"


def planned(environ: Mapping[str, str], *arguments: str) -> Plan:
    """Return the plan of a start with these variables and arguments."""
    environ = {"HOME": "/home/user", **environ}
    request = Request(
        settings=read_settings(environ),
        environ=environ,
        hardware=hardware_from_gpus("1xH100"),
        arguments=arguments,
        other_machine=True,
    )
    return decide(request)[0]


def refused(environ: Mapping[str, str]) -> SettingsError:
    with pytest.raises(SettingsError, match=r"^cannot use ") as error:
        planned(environ)
    return error.value


def test_by_default_the_pages_of_this_machine_may_use_the_service() -> None:
    plan = planned({})
    assert plan.gateway.cors == Cors(
        origins=("local",),
        methods=("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"),
        headers=("*",),
        exposed_headers=("X-Request-Id", "Request-Id", "Retry-After"),
        max_age_seconds=600,
        credentials=False,
    )
    assert not any("page" in warning for warning in plan.warnings)


def test_with_client_certificates_no_page_may_unless_asked_for() -> None:
    assert planned(MUTUAL_TLS).gateway.cors.origins == ()
    assert planned(MUTUAL_TLS | {ORIGINS: "local"}).gateway.cors.origins == ("local",)


def test_each_variable_is_the_gateways_and_none_reaches_the_engine() -> None:
    plan = planned(
        {
            ORIGINS: "https://a.test, https://b.test:8443",
            "NIM_CORS_ALLOW_METHODS": "get,post",
            "NIM_CORS_ALLOW_HEADERS": '["Authorization", "X-Own"]',
            "NIM_CORS_EXPOSE_HEADERS": "X-Request-Id",
            "NIM_CORS_MAX_AGE": "2h",
            "NIM_CORS_ALLOW_CREDENTIALS": "true",
        }
    )
    assert plan.gateway.cors == Cors(
        origins=("https://a.test", "https://b.test:8443"),
        methods=("GET", "POST"),
        headers=("Authorization", "X-Own"),
        exposed_headers=("X-Request-Id",),
        max_age_seconds=7200,
        credentials=True,
    )
    assert not [word for word in plan.engine.argv if word.startswith("--allow")]


def test_the_engines_flags_are_the_gateways_rule_and_stronger_than_variables() -> None:
    flags = """--allowed-origins '["https://flag.test"]' --allow-credentials --allowed-methods '["*"]'"""
    plan = planned({"NIM_PASSTHROUGH_ARGS": flags, ORIGINS: "https://variable.test"})
    cors = plan.gateway.cors
    assert (cors.origins, cors.credentials) == (("https://flag.test",), True)
    assert "QUERY" in cors.methods
    assert plan.config["allowed_origins"].origin.place == "NIM_PASSTHROUGH_ARGS"
    assert not [word for word in plan.engine.argv if word.startswith("--allow")]


def test_no_age_is_an_age() -> None:
    assert planned({"NIM_CORS_MAX_AGE": "0"}).gateway.cors.max_age_seconds == 0


@pytest.mark.parametrize("keys", [{}, {"VLLM_API_KEY": "secret-of-somebody"}])
def test_any_page_is_warned_of_where_no_key_is_asked_for(keys: dict[str, str]) -> None:
    plan = planned({ORIGINS: "*", **keys})
    assert plan.gateway.cors.origins == ("*",)
    warnings = [warning for warning in plan.warnings if "every web page" in warning]
    assert bool(warnings) == (plan.gateway.api_keys is None)
    assert all(warning.startswith(f"{ORIGINS} '*'") for warning in warnings)


@pytest.mark.parametrize(
    ("environ", "said", "hint"),
    [
        (
            {ORIGINS: "https://a.test/x"},
            f"{ORIGINS} 'https://a.test/x' (from the env",
            f"{ORIGINS}=https://a.test",
        ),
        ({ORIGINS: "https://a.test\nX: 1"}, "'https://a.test\\nX: 1'", f"nim settings {ORIGINS}"),
        ({"NIM_CORS_ALLOW_METHODS": "GET,FOO"}, "'FOO'", "nim settings NIM_CORS_ALLOW_METHODS"),
        ({"NIM_CORS_ALLOW_HEADERS": "X Own"}, "'X Own'", "nim settings NIM_CORS_ALLOW_HEADERS"),
        ({"NIM_CORS_EXPOSE_HEADERS": 'X"'}, "'X\"'", "nim settings NIM_CORS_EXPOSE_HEADERS"),
        ({"NIM_CORS_MAX_AGE": "soon"}, "'soon'", "nim settings NIM_CORS_MAX_AGE"),
        ({"NIM_CORS_MAX_AGE": "-1"}, "'-1'", "nim settings NIM_CORS_MAX_AGE"),
        ({"NIM_CORS_ALLOW_CREDENTIALS": "maybe"}, "'maybe'", "nim settings NIM_CORS_ALLOW_CREDENTIALS"),
        (
            {ORIGINS: "*", "NIM_CORS_ALLOW_CREDENTIALS": "1"},
            "NIM_CORS_ALLOW_CREDENTIALS '1' (from the environment) with the origin '*'",
            f"{ORIGINS}=https://app.example",
        ),
        (
            {ORIGINS: "local", "NIM_CORS_ALLOW_CREDENTIALS": "1"},
            "NIM_CORS_ALLOW_CREDENTIALS '1' (from the environment) with the origin 'local'",
            f"{ORIGINS}=https://app.example",
        ),
        (
            {
                ORIGINS: "https://a.test",
                "NIM_CORS_EXPOSE_HEADERS": "*",
                "NIM_PASSTHROUGH_ARGS": "--allow-credentials",
            },
            "--allow-credentials '1' (from NIM_PASSTHROUGH_ARGS) with NIM_CORS_EXPOSE_HEADERS '*'",
            "NIM_CORS_EXPOSE_HEADERS=X-Request-Id,Retry-After",
        ),
        (
            {"NIM_PASSTHROUGH_ARGS": "--allowed-origins '[\"https://a.test/\"]'"},
            "--allowed-origins 'https://a.test/' (from NIM_PASSTHROUGH_ARGS): an origin has no path",
            """--allowed-origins '["https://a.test"]'""",
        ),
        (
            {"NIM_PASSTHROUGH_ARGS": "--allowed-origins '[1]'"},
            "--allowed-origins '1'",
            """--allowed-origins '["https://1"]'""",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(environ: dict[str, Any], said: str, hint: str) -> None:
    error = refused(environ)
    assert said in error.message
    assert error.hint == hint


def test_a_plan_with_a_rule_is_read_again_as_it_was() -> None:
    plan = planned({ORIGINS: "https://a.test"})
    assert Plan.from_json(plan.to_json()).gateway == plan.gateway
