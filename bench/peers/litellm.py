"""LiteLLM's proxy, which parses and rewrites each request and event, and requires a key."""

from bench.peers.peer import KEY, Command, Peer, Site
from bench.peers.place import Packages

PACKAGE = Packages(name="litellm", pip=("litellm[proxy]==1.106.2",))
CONF = """
model_list:
  - model_name: bench
    litellm_params:
      model: hosted_vllm/bench
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: {key}
general_settings:
  master_key: {key}
litellm_settings:
  telemetry: false
  request_timeout: 14400
"""


def _command(site: Site) -> Command:
    conf = site.write("litellm.yaml", CONF.format(upstream=site.upstream_port, key=KEY))
    argv = [
        str(PACKAGE.path("bin/litellm")),
        "--config",
        conf,
        "--host",
        "127.0.0.1",
        "--port",
        str(site.port),
    ]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1"}
    return Command(argv=[*argv, "--num_workers", "1"], env=env)


LITELLM = Peer(name="litellm", title="LiteLLM 1.106.2", command=_command, missing=PACKAGE.missing, slow=True)
