"""
The keywords of `penstock.run`, for type checkers and editors.

Written by `make tables` from the table of options; a test says when it is to be written anew.
"""

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, TypedDict


class Keywords(TypedDict, total=False):
    """Options by name; None: not given. Below are those of other servers that mean the same, or nothing."""

    host: str | None
    port: int | None
    uds: str | PathLike[str] | None
    fd: int | str | None
    bind: str | Iterable[str] | None
    backlog: int | None
    uds_permissions: int | str | None
    admin_bind: str | None
    control: str | PathLike[str] | None
    workers: int | str | None
    pin: bool | None
    timeout_graceful_shutdown: float | str | None
    timeout_stream_drain: float | str | None
    shutdown_delay: float | str | None
    limit_max_requests: int | None
    limit_max_requests_jitter: int | None
    workers_lifetime: float | str | None
    workers_max_rss: int | str | None
    timeout_worker_suspect: float | str | None
    timeout: float | str | None
    timeout_worker_startup: float | str | None
    slow_request: float | str | None
    name: str | None
    preload: bool | None
    app_dir: str | PathLike[str] | None
    factory: bool | None
    reset_contextvars: bool | None
    env: Mapping[str, str] | Iterable[tuple[str, str] | str] | None
    pythonpath: str | Iterable[str] | None
    header: Mapping[str, str] | Iterable[tuple[str, str] | str] | None
    server_header: bool | None
    date_header: bool | None
    static: str | Iterable[str] | None
    static_path_mount: str | PathLike[str] | Iterable[str] | None
    static_path_route: str | Iterable[str] | None
    interface: str | None
    threads: int | None
    lifespan: str | None
    root_path: str | PathLike[str] | None
    compression: bool | None
    ssl_certfile: str | PathLike[str] | None
    ssl_keyfile: str | PathLike[str] | None
    ssl_keyfile_password: str | None
    ssl_ca_certs: str | PathLike[str] | None
    ssl_cert_reqs: int | str | None
    ssl_ciphers: str | Iterable[str] | None
    ssl_version: int | float | str | None
    proxy_headers: bool | None
    forwarded_allow_ips: str | Iterable[str] | None
    proxy_protocol: bool | str | None
    proxy_allow_from: str | Iterable[str] | None
    reload: bool | None
    reload_dir: str | PathLike[str] | Iterable[str] | None
    reload_include: str | Iterable[str] | None
    reload_exclude: str | Iterable[str] | None
    reload_delay: float | str | None
    reload_engine: str | None
    timeout_keep_alive: float | str | None
    timeout_request_header: float | str | None
    timeout_request_body: float | str | None
    timeout_send: float | str | None
    limit_request_header_bytes: int | str | None
    limit_request_header_count: int | None
    limit_request_body: int | str | None
    limit_request_body_rate: int | str | None
    limit_concurrency: int | str | None
    queue_timeout: float | str | None
    ws: str | None
    ws_max_size: int | str | None
    ws_max_queue: int | None
    ws_ping_interval: float | str | None
    ws_ping_timeout: float | str | None
    ws_per_message_deflate: bool | str | None
    log_level: str | int | None
    log_file: str | PathLike[str] | None
    log_config: str | PathLike[str] | Mapping[str, Any] | None
    use_colors: bool | None
    tracing_endpoint: str | None
    tracing_sample: float | str | None
    access_log: bool | None
    access_log_file: str | None
    access_log_format: str | None
    request_id: bool | None
    config: str | PathLike[str] | None
    env_file: str | PathLike[str] | None
    chdir: str | PathLike[str] | None
    pidfile: str | PathLike[str] | None
    umask: int | str | None
    user: str | None
    group: str | None

    access_logfile: str | None
    access_logformat: str | None
    asgi_disconnect_grace_period: Any
    asgi_lifespan: str | None
    asgi_loop: Any
    backpressure: int | str | None
    blocking_threads: int | None
    blocking_threads_idle_timeout: Any
    ca_certs: str | PathLike[str] | None
    capture_output: Any
    cert_reqs: int | str | None
    certfile: str | PathLike[str] | None
    ciphers: str | Iterable[str] | None
    control_socket: str | PathLike[str] | None
    control_socket_mode: Any
    debug: bool | None
    dirty_workers: Any
    disable_redirect_access_to_syslog: Any
    do_handshake_on_connect: Any
    dogstatsd_tags: Any
    enable_backlog_metric: Any
    enable_stdio_inheritance: Any
    env_files: str | PathLike[str] | None
    error_log: str | PathLike[str] | None
    error_logfile: str | PathLike[str] | None
    graceful_timeout: float | str | None
    h11_max_incomplete_event_size: int | str | None
    header_map: Any
    headers: Mapping[str, str] | Iterable[tuple[str, str] | str] | None
    http: Any
    http1_buffer_size: int | str | None
    http1_header_read_timeout: float | str | None
    http1_keep_alive: Any
    http1_pipeline_flush: Any
    http2_cleartext: Any
    http_parser: Any
    http_protocols: Any
    initgroups: Any
    keep_alive: float | str | None
    keyfile: str | PathLike[str] | None
    keyfile_password: str | None
    limit_request_field_size: Any
    limit_request_fields: int | None
    limit_request_line: Any
    log: Any
    log_config_json: str | PathLike[str] | Mapping[str, Any] | None
    logger_class: Any
    loop: Any
    max_requests: int | None
    max_requests_jitter: int | None
    metrics: Any
    metrics_scrape_interval: Any
    no_control_socket: Any
    no_http1_keep_alive: bool | None
    no_http1_pipeline_flush: Any
    no_log: bool | None
    no_metrics: bool | None
    no_reload_ignore_worker_failure: Any
    no_respawn_failed_workers: Any
    no_sendfile: Any
    no_ssl_client_verify: bool | None
    pid: str | PathLike[str] | None
    pid_file: str | PathLike[str] | None
    process_name: str | None
    protocol: Any
    read_timeout: float | str | None
    reload_dirs: str | PathLike[str] | Iterable[str] | None
    reload_excludes: str | Iterable[str] | None
    reload_extra_file: str | Iterable[str] | None
    reload_ignore_dirs: str | Iterable[str] | None
    reload_ignore_paths: str | Iterable[str] | None
    reload_ignore_worker_failure: Any
    reload_includes: str | Iterable[str] | None
    reload_paths: str | PathLike[str] | Iterable[str] | None
    reload_tick: float | str | None
    respawn_failed_workers: Any
    respawn_interval: Any
    reuse_port: Any
    rss_sample_interval: Any
    rss_samples: Any
    runtime_blocking_threads: Any
    runtime_mode: Any
    runtime_threads: Any
    ssl_ca: str | PathLike[str] | None
    ssl_certificate: str | PathLike[str] | None
    ssl_client_verify: bool | None
    ssl_protocol_min: int | float | str | None
    statsd_host: Any
    statsd_prefix: Any
    suppress_ragged_eofs: Any
    task_impl: Any
    timeout_worker_healthcheck: float | str | None
    url_path_prefix: str | PathLike[str] | None
    verify_mode: int | str | None
    websocket_max_message_size: int | str | None
    websocket_ping_interval: float | str | None
    worker_class: Any
    worker_connections: Any
    worker_tmp_dir: Any
    workers_kill_timeout: float | str | None
    working_dir: str | PathLike[str] | None
