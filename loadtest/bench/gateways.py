"""
The servers as gateways, all with what one has on in earnest: keep-alive connections to the server behind
them, X-Forwarded-*, timeouts, and a health check where they have one for free. None logs requests.
"""

from pathlib import Path

# As many as the load has; each of its connections finds one to the origin.
IDLE_MAX = 128

PENSTOCK = """
workers: {workers}
admin: {{bind: none}}
log: {{level: warning}}
listeners:
  - bind: 127.0.0.1:{port}
    limits: {{body_bytes: none}}
    routes: [{{proxy: origin}}]
upstreams:
  origin:
    servers: ["127.0.0.1:{origin}"]
    connections: {{max: {connections}, idle_max: {idle}, idle_timeout: 60s}}
    timeouts: {{connect: 3s, send: 30s, first_byte: 30s, idle: 30s}}
    health_check: {{path: /, every: 5s}}
"""

NGINX_UPSTREAM = """
    upstream origin {{ server 127.0.0.1:{origin}; keepalive {idle}; keepalive_requests 100000000; }}
"""

NGINX_ANSWER = """
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
            proxy_connect_timeout 3s; proxy_read_timeout 30s; proxy_send_timeout 30s;
            proxy_next_upstream error timeout; client_max_body_size 0;
"""

HAPROXY = """
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    default_backend origin
backend origin
    http-reuse always
    retries 1
    option redispatch
    option httpchk GET /
    server origin 127.0.0.1:{origin} check inter 5s pool-max-conn {idle}
"""


def penstock(workers: int, connections: int, port: int, origin: int, folder: Path) -> list[str]:
    """Run Penstock with a config file."""
    config = folder / "penstock.yaml"
    config.write_text(
        PENSTOCK.format(workers=workers, port=port, origin=origin, connections=connections, idle=IDLE_MAX)
    )
    return ["penstock", "-c", str(config)]


def nginx(origin: int) -> tuple[str, str]:
    """Give the upstream, and what the location does."""
    return NGINX_UPSTREAM.format(origin=origin, idle=IDLE_MAX), NGINX_ANSWER


def haproxy(origin: int) -> str:
    """Give the end of the frontend, and the backend."""
    return HAPROXY.format(origin=origin, idle=IDLE_MAX)
