"""The table of all settings: name, kind, default, help. The reference page is generated from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

from nim.settings.types import Absent, Setting, setting
from nim.settings.value_types import (
    ARGUMENTS,
    BOOLEAN,
    CATALOG,
    DASK_WORKERS,
    DURATION,
    DURATION_OR_OFF,
    LEVEL,
    LIMIT,
    NAMES,
    OPTION_COUNT,
    OPTION_LENGTH,
    OPTION_SHARE,
    OPTION_WORD,
    PATH,
    PORT,
    ROUTE_GROUPS,
    SECONDS,
    SIZE,
    SSL_MODE,
    TEXT,
    WHOLE,
)
from nim.settings.variables_of_other_releases import OFF


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one start. `names_used` has the fields that were set → the variable used."""

    # Which model
    model_name: str | None = setting(
        "NIM_MODEL_NAME",
        TEXT,
        None,
        "The model, by the name its manifest in `profiles/` gives it; or an absolute path, which is the same "
        "as `NIM_MODEL_PATH`.",
        default_text="the demo model",
    )
    model_path: str | None = setting(
        "NIM_MODEL_PATH",
        TEXT,
        None,
        "A model without a manifest: a local directory, `hf://org/name[:revision]`, which the engine "
        "downloads into the cache unless `nim fetch` already has, or a URI of S3, Google Cloud Storage, "
        "Azure, a web server, ModelScope or NGC, which the service fetches: see [sources](../sources.md).",
        aliases=("NIM_CUSTOM_MODEL", "NIM_FT_MODEL"),
    )
    manifest_path: str | None = setting(
        "NIM_MANIFEST_PATH", PATH, None, "A manifest file to use instead of those in `profiles/`.", ours=True
    )
    model_profile: str | None = setting(
        "NIM_MODEL_PROFILE",
        TEXT,
        None,
        "The profile: its id, a unique prefix of the id, its label, or `default` for the automatic choice.",
        default_text="chosen for this machine",
    )
    tags_selector: tuple[str, ...] = setting(
        "NIM_TAGS_SELECTOR",
        NAMES,
        (),
        "Tags that a profile must have to be selected, such as `precision=fp8,tp=2`.",
    )
    served_model_name: tuple[str, ...] = setting(
        "NIM_SERVED_MODEL_NAME",
        NAMES,
        (),
        "The model's name in requests and in `/v1/models`; several are separated by commas.",
        option="served_model_name",
        default_text="the model's name",
    )

    # Ports and the gateway
    server_port: int = setting(
        "NIM_SERVER_PORT", PORT, 8000, "The API's port.", quiet_aliases=("NIM_HTTP_API_PORT",)
    )
    health_port: int | None = setting(
        "NIM_HEALTH_PORT",
        PORT,
        None,
        "A second port that answers only the health routes. The API's port answers them as well.",
    )
    ssl_mode: str = setting(
        "NIM_SSL_MODE",
        SSL_MODE,
        "DISABLED",
        "`TLS` encrypts both ports with the certificate below; `MTLS` also asks clients of the API's port "
        "for a certificate. The files are read again when they change.",
    )
    ssl_key_path: str | None = setting(
        "NIM_SSL_KEY_PATH", PATH, None, "The private key of the certificate: a PEM file without a passphrase."
    )
    ssl_certs_path: str | None = setting(
        "NIM_SSL_CERTS_PATH",
        PATH,
        None,
        "The service's certificate and the intermediate certificates after it: a PEM file.",
    )
    ssl_ca_certs_path: str | None = setting(
        "NIM_SSL_CA_CERTS_PATH",
        PATH,
        None,
        "For `MTLS`: the authorities that sign the clients' certificates: a PEM file.",
    )
    api_keys_file: str | None = setting(
        "NIM_API_KEYS_FILE",
        PATH,
        None,
        "Requests need an API key of this file, with a name and a SHA-256 digest on each line, as `nim key` "
        "writes them. It is read again when it changes. `VLLM_API_KEY` is one more key.",
        ours=True,
    )
    api_keys_exempt: tuple[str, ...] = setting(
        "NIM_API_KEYS_EXEMPT",
        NAMES,
        (),
        "Route groups or paths that need no key, such as `management` or `/v1/metrics`. Health never does.",
        ours=True,
    )
    max_requests: int | None = setting(
        "NIM_MAX_REQUESTS", LIMIT, None, "The most requests to the engine at once; others get 429.", ours=True
    )
    max_requests_per_key: int | None = setting(
        "NIM_MAX_REQUESTS_PER_KEY", LIMIT, None, "The most requests of one API key at once.", ours=True
    )
    rate_per_key: int | None = setting(
        "NIM_RATE_PER_KEY",
        LIMIT,
        None,
        "Requests of one API key per second; as many again are accepted in a burst.",
        ours=True,
    )
    kv_events_port: int | None = setting(
        "NIM_KV_EVENTS_PORT",
        PORT,
        None,
        "A TCP port on which the engine publishes what its KV cache holds (ZeroMQ, without keys or "
        "encryption), for routers that send a prompt to where its beginning is cached. The engine's ranks "
        "of data parallelism take the ports after it.",
        default_text="no events",
        ours=True,
    )
    max_output_tokens: int | None = setting(
        "NIM_MAX_OUTPUT_TOKENS",
        WHOLE,
        None,
        "The most tokens that the engine generates for one answer, whatever a request asks for. The same as "
        "`max_new_tokens` in `--override-generation-config`.",
        default_text="what the context has room for",
        ours=True,
    )
    max_structured_output_size: str = setting(
        "NIM_MAX_STRUCTURED_OUTPUT_SIZE",
        SIZE,
        "100k",
        "The most characters of one request's choices, JSON schema, grammar or regular expression that the "
        "engine compiles, as JSON text; `0` for no limit.",
        ours=True,
    )
    allowed_media_domains: tuple[str, ...] = setting(
        "NIM_ALLOWED_MEDIA_DOMAINS",
        NAMES,
        (),
        "Hosts from which the engine may fetch images, videos and audio that a request names by address. "
        "Redirects are not followed (`VLLM_MEDIA_URL_ALLOW_REDIRECTS=1`).",
        option="allowed_media_domains",
        default_text="any host with a public address",
        ours=True,
    )
    allow_private_media: bool = setting(
        "NIM_ALLOW_PRIVATE_MEDIA",
        BOOLEAN,
        False,
        "Let the engine fetch media from private addresses, too: those of this machine, its network and the "
        "cloud's metadata service. Otherwise each address is checked as it is connected to.",
        ours=True,
    )
    catalog: str | None = setting(
        "NIM_CATALOG",
        CATALOG,
        None,
        "Take chat requests as the catalog endpoint of nemotron-3-nano-omni does: media tags in a text, "
        "asset ids, `reasoning_budget`, its bounds. `strict`: what its page does not have is refused.",
        default_text="what the manifest says",
        ours=True,
    )
    catalog_trust_nvcf: bool = setting(
        "NIM_CATALOG_TRUST_NVCF",
        BOOLEAN,
        False,
        "Believe the headers `NVCF-ASSET-DIR` and `NVCF-FUNCTION-ASSET-IDS`, which NVCF itself sets; only "
        "where nobody else reaches the service.",
        ours=True,
    )
    assets_max_size: str = setting(
        "NIM_ASSETS_MAX_SIZE",
        SIZE,
        "2g",
        "The most room for uploaded assets, in the run directory; `0` for no limit. Each is removed after 24 "
        "hours.",
        ours=True,
    )
    backend_port: int | None = setting(
        "NIM_BACKEND_PORT",
        PORT,
        None,
        "A loopback TCP port for the engine, for tools that need direct access.",
        default_text="a private unix socket",
    )
    max_body_size: str = setting(
        "NIM_PROXY_CLIENT_MAX_BODY_SIZE",
        SIZE,
        "100m",
        "The largest request body: `500m`, `2g`, or `0` for no limit.",
    )
    tokenizer_body_size: str = setting(
        "NIM_TOKENIZER_MAX_BODY_SIZE",
        SIZE,
        "4m",
        "The largest body for `/tokenize` and `/detokenize`, whose work the engine cannot interrupt: tens of "
        "megabytes would keep every other request waiting.",
        ours=True,
    )
    proxy_read_timeout: int = setting(
        "NIM_PROXY_READ_TIMEOUT",
        DURATION,
        14_400,
        "How long the engine may send nothing before a request is aborted: seconds, or `30m`, `4h`.",
        ours=True,
    )
    proxy_send_timeout: int = setting(
        "NIM_PROXY_SEND_TIMEOUT",
        DURATION,
        14_400,
        "How long a client may accept no data of its response, or the engine no data of a request.",
        ours=True,
    )
    proxy_header_timeout: int = setting(
        "NIM_PROXY_HEADER_TIMEOUT",
        DURATION,
        20,
        "How long a client may take to send a request's header; on a new connection, counted from its start.",
        ours=True,
    )
    proxy_client_timeout: int = setting(
        "NIM_PROXY_CLIENT_TIMEOUT",
        DURATION,
        60,
        "How long a client may pause while sending a request body.",
        ours=True,
    )
    proxy_keepalive_timeout: int = setting(
        "NIM_PROXY_KEEPALIVE_TIMEOUT",
        DURATION,
        3_600,
        "How long a client's idle connection is kept open. Set it longer than the time-out of the load "
        "balancer in front, so that the balancer closes first.",
        ours=True,
    )
    proxy_upstream_keepalive_timeout: int | None = setting(
        "NIM_PROXY_UPSTREAM_KEEPALIVE_TIMEOUT",
        DURATION,
        None,
        "How long an idle connection to the engine is kept open; at most half as long as the engine keeps it "
        "(`VLLM_HTTP_TIMEOUT_KEEP_ALIVE`, 3600), so that no request uses a connection that was just closed.",
        default_text="`60`, or half of the engine's time-out",
        ours=True,
    )
    proxy_backends: str | None = setting(
        "NIM_PROXY_BACKENDS",
        TEXT,
        None,
        "For `nim proxy` without a file: the backends as JSON, the same as in the file (docs/proxy.md).",
        default_text="no proxy",
        ours=True,
    )
    proxy_connections: int | None = setting(
        "NIM_PROXY_CONNECTIONS",
        WHOLE,
        None,
        "The most connections of each gateway process: one for each client, and a second while the engine "
        "processes its request.",
        default_text="`16384`, or less if the limit on open files is lower",
        ours=True,
    )
    routes: tuple[str, ...] = setting(
        "NIM_ROUTES",
        ROUTE_GROUPS,
        (),
        "The open groups of routes: either a full list (`inference,management`), or changes to the default "
        "(`+debug,-docs`). Health routes are always open.",
        default_text="`inference,docs,management`",
        ours=True,
    )

    # The engine
    max_model_len: str | None = setting(
        "NIM_MAX_MODEL_LEN",
        OPTION_LENGTH,
        None,
        "The context length in tokens; `auto`: the longest that fits in memory.",
        option="max_model_len",
    )
    tensor_parallel_size: str | None = setting(
        "NIM_TENSOR_PARALLEL_SIZE",
        OPTION_COUNT,
        None,
        "The number of GPUs that share each layer. Also restricts the choice of profile.",
        option="tensor_parallel_size",
    )
    pipeline_parallel_size: str | None = setting(
        "NIM_PIPELINE_PARALLEL_SIZE",
        OPTION_COUNT,
        None,
        "The number of groups of GPUs that share the stack of layers. Also restricts the choice of profile.",
        option="pipeline_parallel_size",
    )
    disable_cuda_graph: bool | None = setting(
        "NIM_DISABLE_CUDA_GRAPH",
        BOOLEAN,
        None,
        "Run without CUDA graphs and compilation: a faster start, slower generation.",
        option="enforce_eager",
    )
    trust_custom_code: bool | None = setting(
        "NIM_TRUST_CUSTOM_CODE",
        BOOLEAN,
        None,
        "Allow the model's own Python code to run.",
        option="trust_remote_code",
        aliases=("NIM_FORCE_TRUST_REMOTE_CODE",),
    )
    specdec_enable: bool | None = setting(
        "NIM_SPECDEC_ENABLE",
        BOOLEAN,
        None,
        "Speculative decoding: with the draft model below, else by the manifest's variant for it, else with "
        "repeats of the prompt (n-grams).",
    )
    draft_model_path: str | None = setting(
        "NIM_DRAFT_MODEL_PATH",
        TEXT,
        None,
        "A draft model for speculative decoding: a directory, or `hf://org/name[:revision]`. It drafts three "
        "tokens at a time unless `--speculative-config.num_speculative_tokens` says otherwise.",
    )
    kv_cache_percent: str | None = setting(
        "NIM_KVCACHE_PERCENT",
        OPTION_SHARE,
        None,
        "The share of each GPU's memory that the engine may use.",
        option="gpu_memory_utilization",
        aliases=("NIM_KV_CACHE_PERCENT", "NIM_GPU_MEM_FRACTION", "NIM_GPU_MEMORY_UTILIZATION"),
    )
    max_batch_size: str | None = setting(
        "NIM_MAX_BATCH_SIZE",
        OPTION_COUNT,
        None,
        "The most requests that the engine processes at once.",
        option="max_num_seqs",
        aliases=("NIM_MAX_NUM_SEQS",),
    )
    passthrough_args: str | None = setting(
        "NIM_PASSTHROUGH_ARGS",
        ARGUMENTS,
        None,
        "Flags for the engine, as in a shell or as a JSON array of strings. They override every other "
        "variable.",
    )
    allow_nvfp4_emulation: bool = setting(
        "NIM_ALLOW_NVFP4_EMULATION",
        BOOLEAN,
        False,
        "Allow NVFP4 profiles on GPUs without FP4 arithmetic.",
    )
    engine_command: str | None = setting(
        "NIM_ENGINE_COMMAND",
        ARGUMENTS,
        None,
        "A program to start instead of vLLM with the engine's arguments, such as `numactl` or a profiler. "
        "`{engine}` stands for the engine's own command.",
        default_text="the installed vLLM",
        ours=True,
    )
    strict_args: bool = setting(
        "NIM_STRICT_ARGS",
        BOOLEAN,
        True,
        "Refuse engine flags that this vLLM release does not have. `0` passes them on with a warning.",
        ours=True,
    )

    # Still used by NIM 1.x deployments and NVIDIA's platform: each sets the engine option of the same name
    chat_template: str | None = setting(
        "NIM_CHAT_TEMPLATE",
        PATH,
        None,
        "A chat template: a path, or the name of a file in the model's directory.",
        option="chat_template",
    )
    tool_call_parser: str | None = setting(
        "NIM_TOOL_CALL_PARSER",
        OPTION_WORD,
        None,
        "The parser of tool calls in the model's output.",
        option="tool_call_parser",
    )
    tool_parser_plugin: str | None = setting(
        "NIM_TOOL_PARSER_PLUGIN",
        PATH,
        None,
        "A Python file with a custom tool parser.",
        option="tool_parser_plugin",
    )
    enable_auto_tool_choice: bool | None = setting(
        "NIM_ENABLE_AUTO_TOOL_CHOICE",
        BOOLEAN,
        None,
        "Allow the model to decide when to call a tool.",
        option="enable_auto_tool_choice",
    )
    enable_chunked_prefill: bool | None = setting(
        "NIM_ENABLE_CHUNKED_PREFILL",
        BOOLEAN,
        None,
        "Process long prompts in chunks.",
        option="enable_chunked_prefill",
    )
    kv_cache_dtype: str | None = setting(
        "NIM_KV_CACHE_DTYPE", OPTION_WORD, None, "The number format of the KV cache.", option="kv_cache_dtype"
    )
    max_lora_rank: str | None = setting(
        "NIM_MAX_LORA_RANK", OPTION_COUNT, None, "The highest rank of an adapter.", option="max_lora_rank"
    )
    max_gpu_loras: str | None = setting(
        "NIM_MAX_GPU_LORAS",
        OPTION_COUNT,
        None,
        "The most adapters in GPU memory.",
        option="max_loras",
    )
    max_cpu_loras: str | None = setting(
        "NIM_MAX_CPU_LORAS",
        OPTION_COUNT,
        None,
        "The most adapters in host memory.",
        option="max_cpu_loras",
    )
    peft_source: str | None = setting(
        "NIM_PEFT_SOURCE",
        PATH,
        None,
        "A directory with a directory for each LoRA adapter, served under its name; or its URI: `hf://`, "
        "`s3://`, `gs://`, `az://`, `https://` and others. Switches LoRA on and chooses a profile with it.",
    )
    peft_refresh_interval: float = setting(
        "NIM_PEFT_REFRESH_INTERVAL",
        DURATION_OR_OFF,
        0.0,
        "How often `NIM_PEFT_SOURCE` is read again: adapters are added, replaced and removed while the "
        "service runs. `0`: only when the engine starts.",
    )
    peft_api_timeout: int = setting(
        "NIM_PEFT_API_TIMEOUT_SECS",
        DURATION,
        60,
        "How long the engine may take to load or to unload an adapter.",
    )
    cors_allow_origins: tuple[str, ...] = setting(
        "NIM_CORS_ALLOW_ORIGINS",
        NAMES,
        (),
        "Origins whose pages may use the service, such as `https://app.example`; `local` (http and https "
        "on `localhost`, `127.0.0.1` and `[::1]`, any port), `*` (any page) or `none`.",
        option="allowed_origins",
        default_text="`local`; with `NIM_SSL_MODE=MTLS` `none`",
    )
    cors_allow_methods: tuple[str, ...] = setting(
        "NIM_CORS_ALLOW_METHODS",
        NAMES,
        (),
        "HTTP methods that such pages may use; `*` is all that the gateway knows.",
        option="allowed_methods",
        default_text="`GET, POST, PUT, DELETE, PATCH, OPTIONS`",
    )
    cors_allow_headers: tuple[str, ...] = setting(
        "NIM_CORS_ALLOW_HEADERS",
        NAMES,
        (),
        "Request headers that such pages may send; `*` is any.",
        option="allowed_headers",
        default_text="`*`",
    )
    cors_expose_headers: tuple[str, ...] = setting(
        "NIM_CORS_EXPOSE_HEADERS",
        NAMES,
        ("X-Request-Id", "Request-Id", "Retry-After"),
        "Headers of answers that such pages may read; `*` is any.",
        default_text="`X-Request-Id, Request-Id, Retry-After`",
    )
    cors_max_age: float = setting(
        "NIM_CORS_MAX_AGE",
        DURATION_OR_OFF,
        600.0,
        "How long a browser may remember what it was allowed, 0 for not at all; most keep it for two hours "
        "at most.",
    )
    cors_allow_credentials: bool | None = setting(
        "NIM_CORS_ALLOW_CREDENTIALS",
        BOOLEAN,
        None,
        "Let such pages send cookies, HTTP passwords and client certificates, which the browser adds; only "
        "with named origins.",
        option="allow_credentials",
        default_text="`0`",
        ours=True,
    )

    # Directories, logs and time limits
    cache_path: str | None = setting(
        "NIM_CACHE_PATH",
        PATH,
        None,
        "The directory for downloads and compiled kernels.",
        default_text="`/opt/nim/.cache` in the image, else `~/.cache/nim`",
    )
    runtime_cache_path: str | None = setting(
        "NIM_RUNTIME_CACHE_PATH",
        PATH,
        None,
        "A separate directory for compiled kernels.",
        default_text="`vllm` in the cache",
    )
    cache_probe_timeout: float = setting(
        "NIM_CACHE_PROBE_TIMEOUT",
        DURATION_OR_OFF,
        60.0,
        "How long a start waits for the directories of cache and model, since a mount whose server is gone "
        "never responds. `0`: no limit.",
    )
    disable_model_download: bool = setting(
        "NIM_DISABLE_MODEL_DOWNLOAD",
        BOOLEAN,
        False,
        "Download nothing; files that are not in the cache are an error.",
    )
    repository_override: str | None = setting(
        "NIM_REPOSITORY_OVERRIDE",
        TEXT,
        None,
        "A mirror that `nim mirror` has filled, used instead of every source, `hf://` included: a "
        "directory or a URI such as `s3://BUCKET/DIRECTORY`. Several, separated by commas, are tried in "
        "turn; the word `source` among them is the model's own source.",
    )
    run_dir: str | None = setting(
        "NIM_RUN_DIR",
        PATH,
        None,
        "The directory for the sockets, rendered files and state of this service.",
        quiet_aliases=("NIM_NGINX_DIR",),
        default_text="`/tmp/nim-UID-PORT`",
        ours=True,
    )
    log_level: str = setting(
        "NIM_LOG_LEVEL", LEVEL, "INFO", "The lowest level that is logged, by the engine as well."
    )
    jsonl_logging: bool = setting(
        "NIM_JSONL_LOGGING",
        BOOLEAN,
        False,
        "Log one JSON object per line instead of text, for all parts.",
    )
    shutdown_timeout: float = setting(
        "NIM_SHUTDOWN_TIMEOUT",
        SECONDS,
        28.0,
        "The total seconds that a stop may take; the default is below the 30 that Kubernetes grants.",
        ours=True,
    )
    stall_timeout: float = setting(
        "NIM_STALL_TIMEOUT",
        DURATION_OR_OFF,
        60.0,
        "A stalled engine makes the service not ready after at most this many seconds, and is killed and "
        "restarted after five times as long. `0` disables stall detection.",
        ours=True,
    )
    probe_interval: float = setting(
        "NIM_PROBE_INTERVAL",
        DURATION_OR_OFF,
        30.0,
        "The interval at which an idle engine is asked for one token. Above half of `NIM_STALL_TIMEOUT`, "
        "that time-out cannot be kept. `0`: never, so that a stall that begins while idle goes unnoticed.",
        ours=True,
    )
    read_ahead: bool = setting(
        "NIM_READ_AHEAD",
        BOOLEAN,
        True,
        "Read local weights into the page cache while the engine starts, as far as memory holds them beside "
        "what the engine needs.",
        ours=True,
    )
    warm_up_timeout: float = setting(
        "NIM_WARM_UP_TIMEOUT",
        DURATION_OR_OFF,
        30.0,
        "How long requests may take that are sent through the engine before the service is ready, so that "
        "the first user does not wait for what an engine does once. `0`: send none.",
        ours=True,
    )
    warm_up_file: str | None = setting(
        "NIM_WARM_UP_FILE",
        PATH,
        None,
        "A file with prefixes that many requests will share, for the engine's prefix cache: on each line a "
        "JSON string (a prompt), or a JSON list (the messages of a chat).",
        ours=True,
    )

    # The agent
    agent_config: str | None = setting(
        "NIM_AGENT_CONFIG",
        PATH,
        None,
        "A YAML file with a workflow, such as a loop of tools around the model, that is served beside the "
        "engine's routes: see [agent](../agent.md).",
        default_text="no agent",
        ours=True,
    )
    agent_max_jobs: int | None = setting(
        "NIM_AGENT_MAX_CONCURRENT_JOBS",
        LIMIT,
        None,
        "The most jobs of the agent that run at once, unless there is a scheduler elsewhere.",
        default_text="what the agent's file says, or 10",
        ours=True,
    )
    agent_dask_workers: str | None = setting(
        "NIM_AGENT_DASK_WORKERS",
        DASK_WORKERS,
        None,
        "What jobs run in: `processes` or `threads` of a process.",
        default_text="what the agent's file says, or `processes`",
        ours=True,
    )
    agent_dask_log_level: str | None = setting(
        "NIM_AGENT_DASK_LOG_LEVEL",
        LEVEL,
        None,
        "The lowest level that Dask logs.",
        default_text="what the agent's file says, or `WARNING`",
        ours=True,
    )
    agent_scheduler_address: str | None = setting(
        "NIM_AGENT_SCHEDULER_ADDRESS",
        TEXT,
        None,
        "The address of a Dask scheduler that runs the agent's jobs, such as `tcp://dask:8786`.",
        default_text="what the agent's file says, or a cluster of its own",
        ours=True,
    )
    agent_db_url: str | None = setting(
        "NIM_AGENT_DB_URL",
        TEXT,
        None,
        "Where the agent's jobs are kept: the address of a database as SQLAlchemy has it, with a driver for "
        "asyncio.",
        default_text="a SQLite file in the run directory, empty at each start",
        ours=True,
    )

    names_used: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()

    def given(self, name: str) -> bool:
        """Return True if the field was set in the environment."""
        return name in self.names_used


def declared() -> dict[str, Setting]:
    """Return a dict: field name → Setting (its declaration), in the order of the table."""
    return {f.name: f.metadata["setting"] for f in fields(Settings) if "setting" in f.metadata}


# Variables of NIM that have no effect here → what to use instead.
NOT_SUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "NIM_CAPTURE_ARGS": "the access log, and `--enable-log-requests` for the engine",
        "NIM_CAPTURE_ENABLE": "the access log, and `--enable-log-requests` for the engine",
        "NIM_ENABLE_OTEL": "NIM_PASSTHROUGH_ARGS='--otlp-traces-endpoint URL'",
        "NIM_OTEL_EXPORTER_OTLP_ENDPOINT": "NIM_PASSTHROUGH_ARGS='--otlp-traces-endpoint URL'",
        "NIM_LEADER_ROLE": "one node: several are not supported yet",
        "NIM_MIDDLEWARE_CONFIG_PATH": "NIM_PASSTHROUGH_ARGS='--middleware MODULE'",
        "NIM_NODE_MANAGER_PORT": "one node: several are not supported yet",
        "NIM_PER_REQ_METRICS_ENABLE": "`/v1/metrics`",
        "NIM_PROXY_MGMT_ENDPOINT_PATTERN": "NIM_ROUTES; `nim routes` lists the open routes",
        "NIM_SAGEMAKER_MODE": "the routes as they are: `/invocations` is not served",
    }
)

_NODES = Absent(
    because="one model on several nodes is not supported yet, and each node would serve alone",
    instead="a profile that fits one node (`list-model-profiles`)",
    harmless=OFF,
)

# Ignoring these would start a service other than the intended one, so they are refused.
REFUSED: Mapping[str, Absent] = MappingProxyType(
    dict.fromkeys(("NIM_MULTI_NODE", "NIM_NODE_RANK", "NIM_PRIMARY_NODE"), _NODES)
    | {"NIM_NUM_COMPUTE_NODES": replace(_NODES, harmless=OFF | {"1"})}
)

# Set by the NIM operator or by images, and harmless: ignored without a warning.
IGNORED: frozenset[str] = frozenset(
    {
        "NIM_GRPC_API_PORT",
        "NIM_MPI_ALLOW_RUN_AS_ROOT",
        "NIM_RUNTIME_MAX_WORKER_THREADS",
        "NIM_SDK_USE_NATIVE_TLS",
        "NIM_TELEMETRY_MODE",
        "NIM_TRITON_GRPC_PORT",
        "NIM_TRITON_METRICS_PORT",
    }
)
