"""Reading settings from the environment: values, errors, warnings."""

import pytest

from nim.engine import load_options
from nim.errors import SettingsError
from nim.settings import Settings, declared, read_settings
from nim.settings.declared import IGNORED, NOT_SUPPORTED, REFUSED


def test_an_empty_environment_is_all_defaults() -> None:
    assert read_settings({}) == Settings()


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_settings({"NIM_SERVER_PORT": ""}).server_port == 8000


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("NIM_SERVER_PORT", "9000", "server_port", 9000),
        ("NIM_HTTP_API_PORT", "9000", "server_port", 9000),
        ("NIM_SERVED_MODEL_NAME", "a, b", "served_model_name", ("a", "b")),
        ("NIM_DISABLE_CUDA_GRAPH", "false", "disable_cuda_graph", False),
        ("NIM_LOG_LEVEL", "warn", "log_level", "WARNING"),
        ("NIM_LOG_LEVEL", "DEFAULT", "log_level", "INFO"),
        ("NIM_LOG_LEVEL", "trace", "log_level", "DEBUG"),
        ("NIM_KV_CACHE_PERCENT", "0.5", "kv_cache_percent", "0.5"),
        ("NIM_MAX_NUM_SEQS", "32", "max_batch_size", "32"),
        (
            "NIM_CORS_ALLOW_ORIGINS",
            '["https://a", "https://b"]',
            "cors_allow_origins",
            ("https://a", "https://b"),
        ),
        ("NIM_PROXY_CLIENT_MAX_BODY_SIZE", "500M", "max_body_size", "500m"),
        ("NIM_PROXY_READ_TIMEOUT", "90", "proxy_read_timeout", 90),
        ("NIM_PROXY_READ_TIMEOUT", "90s", "proxy_read_timeout", 90),
        ("NIM_PROXY_READ_TIMEOUT", "5M", "proxy_read_timeout", 300),
        ("NIM_PROXY_READ_TIMEOUT", "168h", "proxy_read_timeout", 604800),
        ("NIM_ROUTES", "+Debug, -docs", "routes", ("+debug", "-docs")),
        ("NIM_PASSTHROUGH_ARGS", "--x '{\"a\": 1}'", "passthrough_args", "--x '{\"a\": 1}'"),
    ],
)
def test_a_variable_is_read_into_its_field(name: str, text: str, field: str, value: object) -> None:
    settings = read_settings({name: text})
    assert getattr(settings, field) == value
    assert settings.names_used[field] == name


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("NIM_SERVER_PORT", "abc", "expected a port between 1 and 65535"),
        ("NIM_SERVER_PORT", "70000", "expected a port between 1 and 65535"),
        ("NIM_SERVER_PORT", "٨", "expected a port between 1 and 65535"),
        ("NIM_DISABLE_CUDA_GRAPH", "maybe", "expected 1 or 0"),
        ("NIM_LOG_LEVEL", "chatty", "expected one of DEBUG"),
        ("NIM_SHUTDOWN_TIMEOUT", "nan", "expected seconds"),
        ("NIM_PROXY_CLIENT_MAX_BODY_SIZE", "big", "expected a size"),
        ("NIM_SERVED_MODEL_NAME", ",", "expected a name"),
        ("NIM_PROXY_READ_TIMEOUT", "0", "expected at least a second"),
        ("NIM_PROXY_READ_TIMEOUT", "169h", ": expected at most a week"),
        ("NIM_PROXY_READ_TIMEOUT", "9999999999", ": expected at most a week"),
        ("NIM_STALL_TIMEOUT", "0.5", "expected 0, or at least 1 second"),
        ("NIM_STALL_TIMEOUT", "1.5", "expected whole seconds"),
        ("NIM_PROBE_INTERVAL", ".1", "expected 0, or at least 1 second"),
        ("NIM_PROXY_SEND_TIMEOUT", "2.5", "expected whole seconds"),
        ("NIM_PROXY_KEEPALIVE_TIMEOUT", "1hm", "expected whole seconds"),
        ("NIM_PROXY_CLIENT_TIMEOUT", "-1", "expected whole seconds"),
        ("NIM_PROXY_CLIENT_TIMEOUT", "٨", "expected whole seconds"),
        ("NIM_PROXY_CONNECTIONS", "0", "expected a whole number"),
        ("NIM_MAX_REQUESTS", "65536", "expected a whole number between 1 and 65535"),
        ("NIM_MAX_REQUESTS_PER_KEY", "0", "expected a whole number between 1 and 65535"),
        ("NIM_RATE_PER_KEY", "99999999999", "expected a whole number between 1 and 65535"),
        ("NIM_ROUTES", "inferense", "did you mean inference"),
        ("NIM_ROUTES", "+", "expected a group after +"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_was_expected(name: str, text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({name: text})
    assert name in str(refused.value)
    assert f"'{text}'" in str(refused.value)
    assert expected in str(refused.value)
    assert refused.value.exit_code == 2


def test_stall_detection_takes_durations_or_0() -> None:
    settings = read_settings({"NIM_STALL_TIMEOUT": "5m", "NIM_PROBE_INTERVAL": "0.0"})
    assert (settings.stall_timeout, settings.probe_interval, settings.warnings) == (300.0, 0.0, ())
    [warning] = read_settings({"NIM_STALL_TIMEOUT": "0", "NIM_PROBE_INTERVAL": "1h"}).warnings
    assert "NIM_PROBE_INTERVAL does nothing" in warning


@pytest.mark.parametrize(
    ("timeout", "interval", "most"), [("60", "31", "61"), ("40", "", "50"), ("10", "1h", "3605")]
)
def test_probes_too_seldom_for_the_time_out_are_warned_of(timeout: str, interval: str, most: str) -> None:
    environ = {"NIM_STALL_TIMEOUT": timeout, "NIM_PROBE_INTERVAL": interval}
    [warning] = read_settings(environ).warnings
    assert f"can take {most} s to be noticed; NIM_PROBE_INTERVAL={int(timeout) // 2} keeps to" in warning


def test_no_probes_at_all_are_no_remedy() -> None:
    environ = {"NIM_STALL_TIMEOUT": "1", "NIM_PROBE_INTERVAL": "1"}
    [warning] = read_settings(environ).warnings
    assert warning.endswith("to be noticed; NIM_STALL_TIMEOUT=2 keeps to the time-out")


@pytest.mark.parametrize(
    ("timeout", "interval"), [("", ""), ("60", "30"), ("0", ""), ("20", "0"), ("5m", "")]
)
def test_probes_often_enough_are_not(timeout: str, interval: str) -> None:
    environ = {"NIM_STALL_TIMEOUT": timeout, "NIM_PROBE_INTERVAL": interval}
    assert read_settings(environ).warnings == ()


def test_a_sign_may_stand_apart_from_its_group() -> None:
    assert read_settings({"NIM_ROUTES": "+ debug, - docs"}).routes == ("+debug", "-docs")


def test_an_older_name_works_and_says_the_newer_one() -> None:
    settings = read_settings({"NIM_CUSTOM_MODEL": "/models/x"})
    assert settings.model_path == "/models/x"
    assert settings.warnings == ("NIM_CUSTOM_MODEL is an older name: use NIM_MODEL_PATH",)


def test_the_operator_sets_both_port_names_and_is_not_warned() -> None:
    assert read_settings({"NIM_SERVER_PORT": "8000", "NIM_HTTP_API_PORT": "8000"}).warnings == ()


def test_two_names_that_disagree_are_reported() -> None:
    settings = read_settings({"NIM_SERVER_PORT": "9000", "NIM_HTTP_API_PORT": "8000"})
    assert settings.server_port == 9000
    assert settings.warnings == ("NIM_HTTP_API_PORT is ignored: NIM_SERVER_PORT is set and says otherwise",)


def test_an_unknown_variable_is_warned_about_with_the_nearest_name() -> None:
    assert "did you mean NIM_SERVER_PORT?" in read_settings({"NIM_SERVR_PORT": "1"}).warnings[0]
    assert read_settings({"NIM_QUUX_FROBNICATE": "1"}).warnings == ("NIM_QUUX_FROBNICATE is not known",)


def test_a_variable_that_is_not_supported_says_what_to_use() -> None:
    assert "access log" in read_settings({"NIM_CAPTURE_ENABLE": "1"}).warnings[0]


def test_no_name_is_declared_twice() -> None:
    names = [name for setting in declared().values() for name in setting.names]
    assert len(names) == len(set(names))


# Every variable that NIM LLM 2.x, its operator, or NVIDIA's platform writes.
OF_NIM = """
NIM_MODEL_PATH NIM_MODEL_NAME NIM_MODEL_PROFILE NIM_TAGS_SELECTOR NIM_SERVED_MODEL_NAME
NIM_MAX_MODEL_LEN NIM_TENSOR_PARALLEL_SIZE NIM_PIPELINE_PARALLEL_SIZE NIM_NUM_COMPUTE_NODES
NIM_DISABLE_CUDA_GRAPH NIM_PASSTHROUGH_ARGS NIM_TRUST_CUSTOM_CODE NIM_SPECDEC_ENABLE
NIM_DRAFT_MODEL_PATH NIM_ALLOW_NVFP4_EMULATION NIM_KVCACHE_PERCENT NIM_KV_CACHE_PERCENT
NIM_GPU_MEM_FRACTION NIM_MAX_BATCH_SIZE NIM_CHAT_TEMPLATE NIM_TOOL_CALL_PARSER
NIM_TOOL_PARSER_PLUGIN NIM_ENABLE_AUTO_TOOL_CHOICE NIM_FT_MODEL NIM_CUSTOM_MODEL
NIM_FORCE_TRUST_REMOTE_CODE NIM_ENABLE_CHUNKED_PREFILL NIM_KV_CACHE_DTYPE NIM_CACHE_PATH
NIM_RUNTIME_CACHE_PATH NIM_CACHE_PROBE_TIMEOUT NIM_DISABLE_MODEL_DOWNLOAD NIM_REPOSITORY_OVERRIDE
NIM_SDK_USE_NATIVE_TLS NIM_RUNTIME_MAX_WORKER_THREADS NIM_SERVER_PORT NIM_HEALTH_PORT
NIM_BACKEND_PORT NIM_HTTP_API_PORT NIM_NGINX_DIR NIM_PROXY_CLIENT_MAX_BODY_SIZE
NIM_PROXY_MGMT_ENDPOINT_PATTERN NIM_CORS_ALLOW_ORIGINS NIM_CORS_ALLOW_METHODS NIM_CORS_ALLOW_HEADERS
NIM_CORS_EXPOSE_HEADERS NIM_CORS_MAX_AGE NIM_SSL_MODE NIM_SSL_KEY_PATH NIM_SSL_CERTS_PATH
NIM_SSL_CA_CERTS_PATH NIM_MIDDLEWARE_CONFIG_PATH NIM_SAGEMAKER_MODE NIM_TELEMETRY_MODE NIM_LOG_LEVEL
NIM_JSONL_LOGGING NIM_CAPTURE_ENABLE NIM_CAPTURE_ARGS NIM_PEFT_SOURCE NIM_PEFT_REFRESH_INTERVAL
NIM_PEFT_API_TIMEOUT_SECS NIM_MAX_LORA_RANK NIM_MAX_GPU_LORAS NIM_MAX_CPU_LORAS NIM_MULTI_NODE
NIM_NODE_RANK NIM_LEADER_ROLE NIM_MPI_ALLOW_RUN_AS_ROOT NIM_GRPC_API_PORT NIM_TRITON_GRPC_PORT
NIM_TRITON_METRICS_PORT NIM_PRIMARY_NODE NIM_NODE_MANAGER_PORT NIM_ENABLE_OTEL
NIM_PER_REQ_METRICS_ENABLE
"""


@pytest.mark.parametrize("name", OF_NIM.split())
def test_each_variable_of_nim_works_or_says_what_to_use(name: str) -> None:
    assert name in {*NOT_SUPPORTED, *REFUSED, *IGNORED, *(n for s in declared().values() for n in s.names)}


def test_each_option_that_a_variable_sets_exists() -> None:
    options = load_options().options
    assert all(setting.option in options for setting in declared().values() if setting.option)


@pytest.mark.parametrize("text", ["tls", "TLS", "mtls", "Disabled"])
def test_the_tls_mode_is_read_in_any_case(text: str) -> None:
    assert read_settings({"NIM_SSL_MODE": text}).ssl_mode == text.upper()


def test_an_unknown_tls_mode_is_refused() -> None:
    with pytest.raises(SettingsError, match="NIM_SSL_MODE 'on'") as refused:
        read_settings({"NIM_SSL_MODE": "on"})
    assert "DISABLED, TLS, MTLS" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NIM_MULTI_NODE", "1"),
        ("NIM_NUM_COMPUTE_NODES", "2"),
        ("NIM_NODE_RANK", "1"),
        ("NIM_PRIMARY_NODE", "10.0.0.1"),
    ],
)
def test_one_of_several_nodes_does_not_serve_alone(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name} '{text}' .*each node would serve alone") as refused:
        read_settings({name: text})
    assert refused.value.hint == f"unset {name}, and use a profile that fits one node (`list-model-profiles`)"


def test_one_node_that_is_called_so_is_no_reason_to_refuse() -> None:
    alone = {"NIM_MULTI_NODE": "0", "NIM_NUM_COMPUTE_NODES": "1", "NIM_NODE_RANK": "0"}
    assert read_settings(alone).warnings == ()
