"""What a file may not say: each fault told with its place, and all of them at once."""

# ruff: noqa: E501 (a case is one line, however long: it is read against its neighbours)

from collections.abc import Callable

import pytest

from penstock.master.config import Reading

Load = Callable[..., Reading]
Faults = Callable[..., list[str]]

# Two lines that make any file whole.
LISTENERS = "listeners:\n  - {bind: ':80', routes: [{app: 'a:b'}]}\n"
# The beginning of a file whose one listener goes on at column 5.
LISTENER = "listeners:\n  - bind: :80\n"
ROUTES = LISTENER + "    routes:\n"

FAULTS = [
    # Misspelt, unknown and planned keys.
    ("wrokers: 3\n", "1:1: wrokers: found the key 'wrokers', expected name, workers, pin, drain_timeout, stream_drain_timeout, shutdown_delay, recycle, worker_suspect_timeout, worker_timeout, worker_startup_timeout, reload, slow_request, admin, control, pidfile, user, group, umask, preload, app_dir, root_path, lifespan, reset_contextvars, threads, log, metrics, tracing, request_id, compression, listeners or upstreams; did you mean 'workers'?"),
    ("log: {lvel: info}\n", "1:7: log.lvel: found the key 'lvel', expected level, path, config, access or colors; did you mean 'level'?"),
    ("x: 1\n", "1:1: x: found the key 'x', expected name, workers"),
    ("health: {}\n", "1:1: health: found the key 'health', which is not supported yet"),
    ("upstreams: {a: {}}\n", "1:16: upstreams.a: found no 'servers', expected a list under that key"),
    ("upstreams: {a: {servers: []}}\n", "1:26: upstreams.a.servers: found an empty list, expected at least one item"),
    ("upstreams: {a: {servers: [b]}}\n", "1:27: upstreams.a.servers[0]: found 'b', expected host:port, [::1]:port, unix:/path or srv:name"),
    ("upstreams: {a: {servers: ['b:1', 'b:1']}}\n", "1:34: upstreams.a.servers[1]: found 'b:1' again, expected each server once"),
    ("upstreams: {a: {servers: [{address: 'b:1', weight: -1}]}}\n", "1:52: upstreams.a.servers[0].weight: found '-1', expected an integer from 0 to 1000"),
    ("upstreams: {a: {servers: [{address: 'b:1', weight: 0}, {address: 'b:2', backup: true}]}}\n", "1:26: upstreams.a.servers: found no server for the usual case, expected one with a weight above 0 that is no backup"),
    ("upstreams: {a: {servers: ['b:1'], balance: consistent_hash}}\n", "1:44: upstreams.a.balance: found 'consistent_hash' without 'hash', expected hash: {by: ...} beside it"),
    ("upstreams: {a: {servers: ['b:1'], hash: {by: path}}}\n", "1:41: upstreams.a.hash: found 'hash' with balance: least_request, expected balance: consistent_hash"),
    ("upstreams: {a: {servers: ['b:1'], balance: consistent_hash, hash: {by: header}}}\n", "1:72: upstreams.a.hash.by: found 'header', expected header:NAME, cookie:NAME, query:NAME, client, path or uri; name the header: header:NAME"),
    ("upstreams: {a: {servers: ['b:1'], balance: consistent_hash, hash: {by: 'cookie:a b'}}}\n", "1:72: upstreams.a.hash.by: found 'cookie:a b', expected header:NAME"),
    ("upstreams: {a: {servers: ['b:1'], balance: consistent_hash, hash: {by: pth}}}\n", "1:72: upstreams.a.hash.by: found 'pth', expected header:NAME, cookie:NAME, query:NAME, client, path or uri; did you mean 'path'?"),
    ("upstreams: {a: {servers: ['b:1'], balance: consistent_hash, hash: {by: path, balance_factor: 100}}}\n", "1:94: upstreams.a.hash.balance_factor: found '100', expected an integer from 101 to 1000"),
    ("upstreams: {a: {servers: ['b:1'], sticky: {}}}\n", "1:43: upstreams.a.sticky: found no 'cookie', expected the name of a cookie under that key"),
    ("upstreams: {a: {servers: ['b:1'], sticky: {cookie: 'a;b'}}}\n", "1:52: upstreams.a.sticky.cookie: found 'a;b', expected the name of a cookie such as server_id"),
    ("upstreams: {a: {servers: ['b:1'], sticky: {cookie: a, path: '/x; Domain=b'}}}\n", "1:61: upstreams.a.sticky.path: found '/x; Domain=b', expected a path that begins with '/', without blanks and ';'"),
    ("upstreams: {a: {servers: ['b:1'], sticky: {cookie: a, ttl: 10ms}}}\n", "1:60: upstreams.a.sticky.ttl: found less than a second, expected none or 1s at least"),
    ("upstreams: {a: {servers: ['b:1'], sticky: {cookie: a, same_site: none}}}\n", "1:66: upstreams.a.sticky.same_site: found 'none' without 'secure: true', expected both"),
    ("upstreams: {a: {servers: ['b:1'], panic_threshold: 150%}}\n", "1:52: upstreams.a.panic_threshold: found '150%', expected a ratio from 0 to 1"),
    ("upstreams: {a: {servers: ['b:1'], balance: ewna}}\n", "1:44: upstreams.a.balance: found 'ewna', expected"),
    ("upstreams: {a: {servers: ['b:1'], timeouts: {connect: 0s}}}\n", "1:55: upstreams.a.timeouts.connect: found 0, expected a duration above 0"),
    ("upstreams: {a: {servers: ['b:1'], timeouts: {total: 0s}}}\n", "1:53: upstreams.a.timeouts.total: found 0, expected a duration above 0"),
    ("upstreams: {a: {servers: ['b:1'], retries: {on: [closd]}}}\n", "1:50: upstreams.a.retries.on[0]: found 'closd', expected 'closed', 'connect', 'timeout', 500, 502, 503 or 504; did you mean 'closed'?"),
    ("upstreams: {a: {servers: ['b:1'], retries: {budget: 20}}}\n", "1:53: upstreams.a.retries.budget: found '20', expected a ratio from 0 to 1, such as 0.1, or 10%"),
    ("upstreams: {a: {servers: ['b:1'], ejection: {base_time: 600s}}}\n", "1:45: upstreams.a.ejection.max_time: found 5m, expected at least 10m, the 'base_time'"),
    ("upstreams: {a: {servers: ['b:1'], ejection: {max_ejected: 0%}}}\n", "1:59: upstreams.a.ejection.max_ejected: found 0, expected a ratio above 0; `ejection: none` is off"),
    ("upstreams: {a: {servers: ['b:1'], breaker: {window: 0s}}}\n", "1:53: upstreams.a.breaker.window: found 0, expected a duration above 0"),
    ("upstreams: {a: {servers: ['b:1'], connections: {idle_timeout: 0s}}}\n", "1:63: upstreams.a.connections.idle_timeout: found 0, expected a duration above 0"),
    ("upstreams: {a: {servers: ['srv:_http._tcp.b c']}}\n", "1:27: upstreams.a.servers[0]: found 'srv:_http._tcp.b c', expected host:port, [::1]:port, unix:/path or srv:name or a mapping with address, weight or backup; a service is named as in srv:_http._tcp.example.com"),
    ("upstreams: {a: {servers: ['srv:b'], resolve: none}}\n", "1:27: upstreams.a.servers[0]: found 'srv:b', expected an address: this upstream looks no names up"),
    ("upstreams: {a: {servers: [{address: 'srv:b', weight: 2}]}}\n", "1:27: upstreams.a.servers[0]: found a weight for 'srv:b', expected none: the records have weights"),
    ("upstreams: {a: {servers: ['b:1'], resolve: {nameservers: [dns.b]}}}\n", "1:59: upstreams.a.resolve.nameservers[0]: found 'dns.b', expected an IP address, maybe with a port"),
    ("upstreams: {a: {servers: ['b:1'], resolve: {min_ttl: 2s, max_ttl: 1s}}}\n", "1:67: upstreams.a.resolve.max_ttl: found 1s, expected at least 2s, the 'min_ttl'"),
    ("upstreams: {a: {servers: ['b:1'], resolve: {min_ttl: 0s}}}\n", "1:54: upstreams.a.resolve.min_ttl: found 0s, expected 100ms to 1h"),
    ("upstreams: {a: {servers: ['b:1'], health_check: /x}}\n", "1:49: upstreams.a.health_check: found '/x', expected a mapping with type, path, method, host, headers, status, port, every, timeout, unhealthy_after or healthy_after or true or false"),
    ("upstreams: {a: {servers: ['b:1'], health_check: {path: x}}}\n", "1:56: upstreams.a.health_check.path: found 'x', expected a path that begins with '/'"),
    ("upstreams: {a: {servers: ['b:1'], health_check: {every: 1ms}}}\n", "1:57: upstreams.a.health_check.every: found 1ms, expected 100ms to 1h"),
    ("upstreams: {a: {servers: ['b:1'], health_check: {timeout: 2m}}}\n", "1:59: upstreams.a.health_check.timeout: found 2m, expected 100ms to 1m"),
    ("upstreams: {a: {servers: ['b:1'], health_check: {status: [200-199]}}}\n", "1:59: upstreams.a.health_check.status[0]: found '200-199', expected a status such as 204, or two such as 200-299"),
    ("upstreams: {a: {servers: ['b:1'], health_check: {type: tcp, path: /x}}}\n", "1:67: upstreams.a.health_check.path: found 'path' beside type: tcp, expected it beside type: http"),
    ("upstreams: {a: {servers: ['b:1'], health_check: {headers: {Host: x}}}}\n", "1:59: upstreams.a.health_check.headers: found a host among the headers, expected the key 'host'"),
    ("upstreams: {a: {servers: ['b:1'], health_check: {host: a b}}}\n", "1:56: upstreams.a.health_check.host: found 'a b', expected a host name"),
    ("upstreams: {a: {servers: ['unix:/x'], health_check: {port: 1}}}\n", "1:60: upstreams.a.health_check.port: found a port, expected none: a unix: socket has none"),
    ("upstreams: {a: {servers: ['b:1'], timeouts: {tunnel_idle: 0s}}}\n", "1:59: upstreams.a.timeouts.tunnel_idle: found 0, expected a duration above 0"),
    ("upstreams: {a: {servers: ['b:1'], host: 'a b'}}\n", "1:41: upstreams.a.host: found 'a b', expected 'client', 'upstream' or a host name"),
    ("upstreams: {a: {servers: ['b:1'], forwarded: x-forwraded}}\n", "1:46: upstreams.a.forwarded: found 'x-forwraded', expected 'both', 'forwarded' or 'x-forwarded'; did you mean 'x-forwarded'?"),
    ("upstreams: {a: {servers: ['b:1'], via: 'a b'}}\n", "1:40: upstreams.a.via: found 'a b', expected a name of one word, such as penstock"),
    ("upstreams: {a: {servers: ['b:1'], upgrades: [h2c]}}\n", "1:46: upstreams.a.upgrades[0]: found 'h2c', expected a protocol such as websocket: requests in it would go past the routes"),
    ("upstreams: {a: {servers: ['b:1'], upgrades: ['a b']}}\n", "1:46: upstreams.a.upgrades[0]: found 'a b', expected a protocol such as websocket"),
    ("upstream: {}\n", "1:1: upstream: found the key 'upstream'"),
    ("log: {format: json}\n", "1:7: log.format: found the key 'format', which is not supported yet"),
    ("log: {access: on it}\n", "1:15: log.access: found 'on it', expected a mapping with path, format, redact or exclude or true or false"),
    ("log: {access: {format: jsn}}\n", "1:24: log.access.format: found 'jsn', expected 'text', 'json' or a format of atoms such as '%(h)s \"%(r)s\" %(s)s'; did you mean 'json'?"),
    ("log: {access: {format: '%(h)s %(z)s'}}\n", "1:24: log.access.format: found '%(h)s %(z)s', expected 'text', 'json' or a format of atoms such as '%(h)s \"%(r)s\" %(s)s'; there is no atom %(z)s"),
    ("log: {access: {redact: [api key]}}\n", "1:25: log.access.redact[0]: found 'api key', expected 'query' or a header name such as x-api-key"),
    ("log: {access: {exclude: [healthz]}}\n", "1:26: log.access.exclude[0]: found 'healthz', expected a path that begins with '/', or '~' and a regular expression"),
    ("request_id: {header: 'X Y'}\n", "1:22: request_id.header: found 'X Y', expected a header name such as cache-control"),
    ("recycle: {max_request: 5}\n", "1:11: recycle.max_request: found the key 'max_request', expected max_requests, max_requests_jitter, lifetime or max_rss; did you mean 'max_requests'?"),
    ("recycle: {max_requests: -1}\n", "1:25: recycle.max_requests: found '-1', expected an integer from 0 to 1000000000000"),
    ("recycle: {max_requests_jitter: 5}\n", "1:32: recycle.max_requests_jitter: found a jitter, expected 'max_requests' beside it"),
    ("recycle: {lifetime: 0s}\n", "1:21: recycle.lifetime: found 0, expected a duration above 0"),
    ("recycle: {lifetime: 3600}\n", "1:21: recycle.lifetime: found '3600', expected a duration such as 500ms, 30s, 5m or 1h; write 3600s"),
    ("recycle: {max_rss: 512}\n", "1:20: recycle.max_rss: found 512 bytes, expected at least 16MiB"),
    ("recycle: 5\n", "1:10: recycle: found '5', expected a mapping with max_requests, max_requests_jitter, lifetime or max_rss"),
    ("reload: {dir: [.]}\n", "1:10: reload.dir: found the key 'dir', expected dirs, include, exclude, delay or engine; did you mean 'dirs'?"),
    ("reload: {dirs: [nowhere]}\n", "1:17: reload.dirs[0]: found 'nowhere', expected a directory"),
    ("reload: {dirs: .}\n", "1:16: reload.dirs: found '.', expected a list"),
    ("reload: {delay: 2m}\n", "1:17: reload.delay: found 2m, expected at most 1m"),
    ("reload: {engine: polling}\n", "1:18: reload.engine: found 'polling', expected 'auto', 'inotify' or 'poll'; did you mean 'poll'?"),
    ("reload: often\n", "1:9: reload: found 'often', expected a mapping with dirs, include, exclude, delay or engine or true or false"),
    ("log: {colors: always}\n", "1:15: log.colors: found 'always', expected true or false"),
    # Values of another type.
    ("workers: 0\n", "1:10: workers: found '0', expected an integer from 1 to 1024 or 'auto'"),
    ("workers: many\n", "1:10: workers: found 'many', expected an integer from 1 to 1024 or 'auto'"),
    ("workers: atuo\n", "1:10: workers: found 'atuo', expected an integer from 1 to 1024 or 'auto'; did you mean 'auto'?"),
    ("workers: '4'\n", "1:10: workers: found '4' in quotes, expected an integer from 1 to 1024 or 'auto'"),
    ("workers: 1.5\n", "1:10: workers: found '1.5', expected an integer"),
    ("workers: [1]\n", "1:10: workers: found a list, expected an integer from 1 to 1024 or 'auto'"),
    ("workers:\n", "1:9: workers: found nothing, expected an integer from 1 to 1024 or 'auto'"),
    ("workers: ~\n", "1:10: workers: found ~, expected an integer from 1 to 1024 or 'auto'"),
    ("workers: 99999999999999999999999\n", "1:10: workers: found '99999999999999999999999', expected an integer"),
    ("pin: maybe\n", "1:6: pin: found 'maybe', expected true or false"),
    ("pin: 'true'\n", "1:6: pin: found 'true' in quotes, expected true or false"),
    ("drain_timeout: 30\n", "1:16: drain_timeout: found '30', expected a duration such as 500ms, 30s, 5m or 1h; write 30s"),
    ("drain_timeout: 20s\nstream_drain_timeout: 21s\n", "2:23: stream_drain_timeout: found 21s, expected at most 20s, the 'drain_timeout'"),
    ("stream_drain_timeout: 40s\n", "1:23: stream_drain_timeout: found 40s, expected at most 30s, the 'drain_timeout'"),
    ("stream_drain_timeout: 5\n", "1:23: stream_drain_timeout: found '5', expected a duration such as 500ms, 30s, 5m or 1h; write 5s"),
    ("drain_timeout: {s: 30}\n", "1:16: drain_timeout: found a mapping, expected a duration such as 500ms, 30s, 5m or 1h"),
    ("worker_suspect_timeout: 100ms\n", "1:25: worker_suspect_timeout: found 100ms, expected at least 500ms, or 0s for never"),
    ("worker_timeout: 60\n", "1:17: worker_timeout: found '60', expected a duration such as 500ms, 30s, 5m or 1h; write 60s"),
    ("drain_timeout: -1s\n", "1:16: drain_timeout: found '-1s', expected a duration"),
    ("admin: 9180\n", "1:8: admin: found '9180', expected a mapping with bind"),
    ("admin: {bind: 9180}\n", "1:15: admin.bind: found '9180', expected host:port, :port, [::]:port, unix:/path or fd:3; did you mean '127.0.0.1:9180'?"),
    ("name: a/b\n", "1:7: name: found 'a/b', expected a name of letters, digits, '-', '_' and '.', at most 64 of them"),
    ("name: ../x\n", "1:7: name: found '../x', expected a name"),
    ("control: ''\n", "1:10: control: found '', expected a path"),
    ("app_dir:\n", "1:9: app_dir: found '', expected a path"),
    ("user: no-such-user\n", "1:7: user: found 'no-such-user', expected a user of this system"),
    ("group: roott\n", "1:8: group: found 'roott', expected a group of this system; did you mean 'root'?"),
    ("user: a:b\n", "1:7: user: found 'a:b', expected a name or a number of this system"),
    ("root_path: shop\n", "1:12: root_path: found 'shop', expected a path that begins with '/'; did you mean '/shop'?"),
    ("lifespan: of\n", "1:11: lifespan: found 'of', expected 'auto', 'off' or 'on'; did you mean 'off'?"),
    ("log: info\n", "1:6: log: found 'info', expected a mapping with level, path, config, access or colors"),
    ("log: {level: warn}\n", "1:14: log.level: found 'warn', expected 'critical', 'debug', 'error', 'info' or 'warning'; did you mean 'warning'?"),
    ("log: {path: stdout}\n", "1:13: log.path: found 'stdout', expected a path or 'stderr': 'stdout' is not supported yet"),
    ("log: {config: {}}\n", "1:15: log.config: found no 'version: 1', expected a dictionary for logging.config.dictConfig"),
    ("log: {config: missing.json}\n", "1:15: log.config: found 'missing.json', expected the path of a JSON, YAML or ini file for logging.config; missing.json: no such file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FAULTS, ids=[text.strip() for text, _ in FAULTS])
def test_a_fault_is_told_with_its_place_and_what_was_expected(
    faults: Faults, text: str, expected: str
) -> None:
    """
    Line, column, key path, what stood there, what was expected, the nearest word.
    """
    (found,) = faults(text + LISTENERS)

    assert found.startswith(expected)


LISTENER_FAULTS = [
    ("    bnd: :81\n", "3:5: listeners[0].bnd: found the key 'bnd', expected name, bind, protocol, backlog, uds_permissions, tcp, tls, trusted_proxies, forwarded, proxy_protocol, limits, websocket, headers, request_headers, response_headers, server_header, date_header, compression or routes; did you mean 'bind'?"),
    ("    protocol: tcp\n", "3:15: listeners[0].protocol: found 'tcp', expected 'http': 'tcp' is not supported yet"),
    ("    protocol: udp\n", "3:15: listeners[0].protocol: found 'udp', expected 'http': 'udp' is not supported yet"),
    ("    protocol: htpp\n", "3:15: listeners[0].protocol: found 'htpp', expected 'http'; did you mean 'http'?"),
    ("    proxy: cache\n", "3:5: listeners[0].proxy: found the key 'proxy', which is not supported yet"),
    ("    handler: a:b\n", "3:5: listeners[0].handler: found the key 'handler', which is not supported yet"),
    ("    backlog: 0\n", "3:14: listeners[0].backlog: found '0', expected an integer from 1 to 2147483647"),
    ("    uds_permissions: 0660\n", "3:22: listeners[0].uds_permissions: found permissions for '0.0.0.0:80', expected a unix: address"),
    ("    uds_permissions: 999\n", "3:22: listeners[0].uds_permissions: found '999', expected permissions in octal such as 0660"),
    ("    request_headers: {set: {a: '{request_id}'}}\n", "3:32: listeners[0].request_headers.set.a: found {request_id}, expected 'request_id' at the top of the file: requests have none"),
    ("    response_headers: {set: {Upgrade: x}}\n", "3:30: listeners[0].response_headers.set.Upgrade: found 'Upgrade', expected another header"),
    ("    limits: {header_bytes: 64k}\n", "3:28: listeners[0].limits.header_bytes: found '64k', expected a size such as 4096, 64KiB or 1MiB; did you mean '64KiB'?"),
    ("    limits: {header_bytes: 1}\n", "3:28: listeners[0].limits.header_bytes: found 1 bytes, expected 256 to 16MiB"),
    ("    limits: {header_count: 0}\n", "3:28: listeners[0].limits.header_count: found '0', expected an integer from 1 to 10000"),
    ("    limits: {body_bytes: -1}\n", "3:26: listeners[0].limits.body_bytes: found '-1', expected a size"),
    ("    limits: {header_timeout: 0s}\n", "3:30: listeners[0].limits.header_timeout: found 0, expected a duration above 0"),
    ("    limits: {send_timeout: 400d}\n", "3:28: listeners[0].limits.send_timeout: found '400d', expected a duration of at most 366d"),
    ("    limits: {keepalive_timeout: 1s}\n", "3:14: listeners[0].limits.keepalive_timeout: found the key 'keepalive_timeout', expected header_bytes, header_count, body_bytes, header_timeout, body_timeout, body_rate, keep_alive_timeout, send_timeout, concurrency or queue_timeout; did you mean 'keep_alive_timeout'?"),
    ("    limits: {body_rate: 0}\n", "3:25: listeners[0].limits.body_rate: found 0, expected at least 1, or none"),
    ("    limits: {body_rate: 240B/s}\n", "3:25: listeners[0].limits.body_rate: found '240B/s', expected a size such as 4096, 64KiB or 1MiB"),
    ("    limits: {concurrency: 0}\n", "3:27: listeners[0].limits.concurrency: found '0', expected an integer from 1 to 1000000"),
    ("    limits: {queue_timeout: 1s}\n", "3:29: listeners[0].limits.queue_timeout: found a time to wait, expected 'concurrency' beside it"),
    ("    limits: 5\n", "3:13: listeners[0].limits: found '5', expected a mapping with header_bytes"),
    ("    compression: 5\n", "3:18: listeners[0].compression: found '5', expected a mapping with algorithms, types, min_size or level or true or false"),
    ("    compression: {algorithms: [lz4]}\n", "3:32: listeners[0].compression.algorithms[0]: found 'lz4', expected 'br', 'gzip' or 'zstd'"),
    ("    compression: {algorithms: []}\n", "3:31: listeners[0].compression.algorithms: found an empty list, expected at least one item"),
    ("    compression: {types: [json]}\n", "3:27: listeners[0].compression.types[0]: found 'json', expected a media type such as text/* or application/json"),
    ("    compression: {types: [text/event-stream]}\n", "3:27: listeners[0].compression.types[0]: found 'text/event-stream', expected another type: event streams are never compressed"),
    ("    compression: {level: {gzip: 10}}\n", "3:33: listeners[0].compression.level.gzip: found '10', expected an integer from 1 to 9"),
    ("    compression: {level: 6}\n", "3:26: listeners[0].compression.level: found '6', expected a mapping with zstd, br or gzip"),
    ("    tls: {}\n", "3:10: listeners[0].tls: found no 'certificates', expected a list under that key"),
    ("    tls: {certificates: []}\n", "3:25: listeners[0].tls.certificates: found an empty list, expected at least one item"),
    ("    tls: {certificates: [{key: k}]}\n", "3:26: listeners[0].tls.certificates[0]: found no 'cert', expected a path under that key"),
    ("    trusted_proxies: [10.0.0.1/8]\n", "3:23: listeners[0].trusted_proxies[0]: found '10.0.0.1/8', expected an IP address, a network such as 10.0.0.0/8, 'unix:' or '*'; did you mean '10.0.0.0/8'?"),
    ("    trusted_proxies: [lb.internal]\n", "3:23: listeners[0].trusted_proxies[0]: found 'lb.internal', expected an IP address, a network such as 10.0.0.0/8, 'unix:' or '*'; a host name cannot be trusted: write its address"),
    ("    forwarded: both\n", "3:16: listeners[0].forwarded: found 'both', expected 'forwarded' or 'x-forwarded'"),
    ("    tls: {certificates: [{cert: /none/c, key: /none/k}]}\n", "3:33: listeners[0].tls.certificates[0].cert: found '/none/c', expected a PEM file: no such file"),
    ("    tls: {acme: {}}\n", "3:11: listeners[0].tls.acme: found the key 'acme', which is not supported yet"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), LISTENER_FAULTS, ids=[text.strip() for text, _ in LISTENER_FAULTS]
)
def test_a_fault_of_a_listener_is_told_likewise(faults: Faults, text: str, expected: str) -> None:
    """
    As above, one level down.
    """
    found = faults(f"{LISTENER}{text}    routes: [{{app: a:b}}]\n")

    assert any(each.startswith(expected) for each in found), found


ROUTE_FAULTS = [
    ("{app: a:b, rate_limit: {}}", "4:20: listeners[0].routes[0].rate_limit: found the key 'rate_limit', which is not supported yet"),
    ("{files: {root: /nowhere/at/all}}", "4:24: listeners[0].routes[0].files.root: found '/nowhere/at/all', expected a folder: no such file or directory"),
    ("{files: {root: /dev/null}}", "4:24: listeners[0].routes[0].files.root: found '/dev/null', expected a folder: not a directory"),
    ("{files: {}}", "4:17: listeners[0].routes[0].files: found no 'root', expected a path under that key"),
    ("{files: {root: /, indx: a}}", "4:27: listeners[0].routes[0].files.indx: found the key 'indx', expected root, index, precompressed, cache_control, follow_symlinks, fallback, dotfiles or types; did you mean 'index'?"),
    ("{files: {root: /, index: ../a}}", "4:34: listeners[0].routes[0].files.index: found '../a', expected the name of a file below the folder"),
    ("{files: {root: /, fallback: /a}}", "4:37: listeners[0].routes[0].files.fallback: found '/a', expected the name of a file below the folder"),
    ("{files: {root: /, types: {x: text/x}}}", "4:35: listeners[0].routes[0].files.types.x: found 'x', expected the end of a name, such as .x"),
    ("{proxy: backend}", "4:17: listeners[0].routes[0].proxy: found 'backend', expected the name of an upstream, or a server"),
    ("{proxy: 'localhost:x'}", "4:17: listeners[0].routes[0].proxy: found 'localhost:x', expected host:port, [::1]:port, unix:/path or srv:name"),
    ("{proxy: 'https://a'}", "4:17: listeners[0].routes[0].proxy: found 'https://a', expected host:port, [::1]:port, unix:/path or srv:name: TLS to a server is not supported yet"),
    ("{proxy: '0.0.0.0:80'}", "4:17: listeners[0].routes[0].proxy: found '0.0.0.0:80', expected host:port, [::1]:port, unix:/path or srv:name that one can connect to"),
    ("{ap: a:b}", "4:10: listeners[0].routes[0].ap: found the key 'ap', expected name, match, app, factory, interface, files, proxy, redirect, respond, split, split_by, rewrite, request_headers, response_headers or compression; did you mean 'app'?"),
    ("{}", "4:9: listeners[0].routes[0]: found no action, expected one of app, files, proxy, redirect, respond, split"),
    ("{match: {path: /}}", "4:9: listeners[0].routes[0]: found no action, expected one of app, files, proxy, redirect, respond, split"),
    ("{redirect: {to: new}}", "4:25: listeners[0].routes[0].redirect.to: found 'new', expected a path that begins with '/', or a URL such as https://example.com/new/"),
    ("{redirect: {to: //evil.example/}}", "4:25: listeners[0].routes[0].redirect.to: found '//evil.example/', expected a path that begins with '/', or a URL such as https://example.com/new/; two slashes would begin the name of a host"),
    ("{redirect: {to: 'https://a.example{rest}'}}", "4:25: listeners[0].routes[0].redirect.to: found 'https://a.example{rest}', expected a path that begins with '/', or a URL such as https://example.com/new/; a '/' has to end the host, or a client could go on with it"),
    ("{redirect: {to: 'https://{1}/'}, match: {path: ~^/(.*)}}", "4:25: listeners[0].routes[0].redirect.to: found 'https://{1}/', expected a path"),
    (r'{redirect: {to: "/a\r\nb"}}', "4:25: listeners[0].routes[0].redirect.to: found '/a\\r\\nb', expected a path"),
    ("{redirect: {to: /a b}}", "4:25: listeners[0].routes[0].redirect.to: found '/a b', expected a path that begins with '/', or a URL such as https://example.com/new/; write %20 for a blank"),
    ("{redirect: {to: /, code: 304}}", "4:34: listeners[0].routes[0].redirect.code: found '304', expected 301, 302, 303, 307 or 308"),
    ("{redirect: {to: '/{rst}'}}", "4:25: listeners[0].routes[0].redirect.to: found '/{rst}', expected {authority}, {client}, {host}, {method}, {path}, {query}, {request_id}, {rest}, {route} or {scheme}: there is no variable '{rst}' here; did you mean 'rest'?"),
    ("{match: {path: ~^/a}, redirect: {to: '/{rest}'}}", "4:46: listeners[0].routes[0].redirect.to: found '/{rest}', expected {authority}, {client}, {host}, {method}, {path}, {query}, {request_id}, {route} or {scheme}: there is no variable '{rest}' here; only the paths that are no regular expression have a rest"),
    ("{match: {path: ['~^/(a)', /b]}, redirect: {to: '/{1}'}}", "4:56: listeners[0].routes[0].redirect.to: found '/{1}', expected {authority}"),
    ("{redirect: {to: '/{'}}", "4:25: listeners[0].routes[0].redirect.to: found '/{', expected {authority}, {client}, {host}, {method}, {path}, {query}, {request_id}, {rest}, {route} or {scheme}: a lone '{'; '{{' stands for one"),
    ("{redirect: {to: '/{request_id}'}}", "4:25: listeners[0].routes[0].redirect.to: found {request_id}, expected 'request_id' at the top of the file: requests have none"),
    ("{app: a:b, rewrite: {}}", "4:29: listeners[0].routes[0].rewrite: found nothing in it, expected strip_prefix, replace or add_prefix"),
    ("{respond: {}, rewrite: {strip_prefix: /a}}", "4:32: listeners[0].routes[0].rewrite: found 'rewrite' beside 'respond', which looks at no path"),
    ("{app: a:b, rewrite: {strip_prefix: a}}", "4:44: listeners[0].routes[0].rewrite.strip_prefix: found 'a', expected the beginning of a path, such as /api"),
    ("{app: a:b, rewrite: {add_prefix: /a/../b}}", "4:42: listeners[0].routes[0].rewrite.add_prefix: found '/a/../b', expected the beginning of a path without empty parts, '.' and '..'"),
    ("{app: a:b, rewrite: {replace: {regex: (, to: /}}}", "4:47: listeners[0].routes[0].rewrite.replace.regex: found '(', expected a regular expression ("),
    ("{app: a:b, rewrite: {replace: {regex: (a), to: '/{2}'}}}", "4:56: listeners[0].routes[0].rewrite.replace.to: found '/{2}', expected {1}: there is no variable '{2}' here"),
    ("{app: a:b, rewrite: {replace: {regex: a, to: '/?b'}}}", "4:54: listeners[0].routes[0].rewrite.replace.to: found '/?b', expected a piece of a path, without '?' and '#': the query stays as it is"),
    ("{app: a:b, request_headers: {set: {Content-Length: 5}}}", "4:44: listeners[0].routes[0].request_headers.set.Content-Length: found 'Content-Length', expected another header: this one concerns the connection, and is Penstock's own"),
    ("{app: a:b, response_headers: {remove: [connection]}}", "4:48: listeners[0].routes[0].response_headers.remove[0]: found 'connection', expected another header"),
    ("{app: a:b, response_headers: {add: {a: '{clent}'}}}", "4:48: listeners[0].routes[0].response_headers.add.a: found '{clent}', expected a header value, with {authority}, {client}, {host}, {method}, {path}, {query}, {request_id}, {route}, {scheme}: there is no variable '{clent}' here; did you mean 'client'?"),
    (r'{app: a:b, response_headers: {add: {a: "b\r\nc"}}}', r"4:48: listeners[0].routes[0].response_headers.add.a: found 'b\r\nc', expected a header value"),
    ("{app: a:b, request_headers: {set: {a: '{request_id}'}}}", "4:47: listeners[0].routes[0].request_headers.set.a: found {request_id}, expected 'request_id' at the top of the file: requests have none"),
    ("{split: []}", "4:17: listeners[0].routes[0].split: found an empty list, expected at least one item"),
    ("{split: [{respond: {}}]}", "4:18: listeners[0].routes[0].split[0]: found no 'weight', expected an integer from 0 to 1000000 under that key"),
    ("{split: [{weight: 1, proxy: nowhere}]}", "4:37: listeners[0].routes[0].split[0].proxy: found 'nowhere', expected the name of an upstream, or a server"),
    ("{split: [{weight: 1}]}", "4:18: listeners[0].routes[0].split[0]: found no action, expected one of app, files, proxy, redirect, respond"),
    ("{split: [{weight: 0, respond: {}}]}", "4:17: listeners[0].routes[0].split: found weights that are all 0, expected at least one above"),
    ("{split: [{weight: -1, respond: {}}]}", "4:27: listeners[0].routes[0].split[0].weight: found '-1', expected an integer from 0 to 1000000"),
    ("{split: [{weight: 1, respond: {}, match: {}}]}", "4:43: listeners[0].routes[0].split[0].match: found the key 'match', expected name, app, factory"),
    ("{split: [{weight: 1, name: a, respond: {}}, {weight: 1, name: a, respond: {}}]}", "4:71: listeners[0].routes[0].split[1].name: found 'a', the name of another variant"),
    ("{split: [{weight: 1, redirect: {to: '/{1}'}}]}", "4:45: listeners[0].routes[0].split[0].redirect.to: found '/{1}', expected"),
    ("{split: [{weight: 1, respond: {}}], split_by: cookie}", "4:55: listeners[0].routes[0].split_by: found 'cookie', expected client, random, header:NAME or cookie:NAME; did you mean 'cookie'?"),
    ("{respond: {}, split_by: random}", "4:33: listeners[0].routes[0].split_by: found 'split_by' without 'split', expected it beside one"),
    ("{match: {headers: {'a b': c}}, app: a:b}", "4:28: listeners[0].routes[0].match.headers.a b: found 'a b', expected a header name such as x-flag"),
    ("{match: {headers: {a: '~('}}, app: a:b}", "4:31: listeners[0].routes[0].match.headers.a: found '~(', expected true or false or a text, or '~' and a regular expression; expected a regular expression after '~' ("),
    ("{match: {query: {a: '~(x+)+$'}}, app: a:b}", "4:29: listeners[0].routes[0].match.query.a: found '~(x+)+$', expected true or false or a text, or '~' and a regular expression; expected a regular expression after '~' (a repeat within a repeat, which can take for ever"),
    ("{match: {client: [10.0.0.1/8]}, app: a:b}", "4:27: listeners[0].routes[0].match.client[0]: found '10.0.0.1/8', expected an IP address, a network such as 10.0.0.0/8, or 'unix:'; did you mean '10.0.0.0/8'?"),
    ("{match: {path: '~^(/.*)+$'}, app: a:b}", "4:24: listeners[0].routes[0].match.path: found '~^(/.*)+$', expected a regular expression after '~' (a repeat within"),
    ("{match: {path: []}, app: a:b}", "4:24: listeners[0].routes[0].match.path: found an empty list, expected at least one item"),
    ("{match: {path: [/a, b]}, app: a:b}", "4:29: listeners[0].routes[0].match.path[1]: found 'b', expected a path that begins with '/'"),
    ("{match: {host: '*'}, app: a:b}", "4:24: listeners[0].routes[0].match.host: found '*', expected a host name, or '*.'"),
    ("{match: {path: [/a/, /b/]}, files: {root: /}}", "4:44: listeners[0].routes[0].files: found several paths beside 'files', expected one"),
    ("{app: a:b, respond: {}}", "4:9: listeners[0].routes[0]: found 'app' and 'respond', expected one of app, files, proxy, redirect, respond, split"),
    ("{factory: true, respond: {}}", "4:19: listeners[0].routes[0].factory: found 'factory' without 'app', expected it beside one"),
    ("[a]", "4:9: listeners[0].routes[0]: found a list, expected a mapping with name, match, app, factory, interface, files, proxy, redirect, respond, split"),
    ("{app: main}", "4:15: listeners[0].routes[0].app: found 'main', expected module:attribute, such as main:app; did you mean 'main:app'?"),
    ("{app: src/main.py}", "4:15: listeners[0].routes[0].app: found 'src/main.py', expected module:attribute, such as main:app; did you mean 'src.main:app'?"),
    ("{app: 'main:make()'}", "4:15: listeners[0].routes[0].app: found 'main:make()', expected module:attribute, such as main:app; did you mean 'main:make'? a factory is named without () and with factory: true"),
    ("{app: 'a:class'}", "4:15: listeners[0].routes[0].app: found 'a:class', expected module:attribute, such as main:app ('class' is a word of the Python language)"),
    ("{app: 'a b:c'}", "4:15: listeners[0].routes[0].app: found 'a b:c', expected module:attribute"),
    ("{match: {path: x}, app: a:b}", "4:24: listeners[0].routes[0].match.path: found 'x', expected a path that begins with '/', or '~' and a regular expression"),
    ("{match: {path: /api/*}, app: a:b}", "4:24: listeners[0].routes[0].match.path: found '/api/*', expected a path; one that ends in '/' is a prefix; did you mean '/api/'?"),
    ("{match: {path: '/a?b'}, app: a:b}", "4:24: listeners[0].routes[0].match.path: found '/a?b', expected a path without a query"),
    ("{match: {path: '~('}, app: a:b}", "4:24: listeners[0].routes[0].match.path: found '~(', expected a regular expression after '~' ("),
    ("{match: {pth: /}, app: a:b}", "4:18: listeners[0].routes[0].match.pth: found the key 'pth', expected host, path, methods, headers, query or client; did you mean 'path'?"),
    ("{match: {host: 'a.*.com'}, app: a:b}", "4:24: listeners[0].routes[0].match.host: found 'a.*.com', expected a host name, or '*.' and the end of one, such as *.example.com"),
    ("{match: {host: 'a.com:80'}, app: a:b}", "4:24: listeners[0].routes[0].match.host: found 'a.com:80', expected a host name without a port; did you mean 'a.com'?"),
    ("{match: {host: 'http://a'}, app: a:b}", "4:24: listeners[0].routes[0].match.host: found 'http://a', expected a host name"),
    ("{match: {methods: [get]}, app: a:b}", "4:28: listeners[0].routes[0].match.methods[0]: found 'get', expected an HTTP method such as GET or POST; did you mean 'GET'?"),
    ("{match: {methods: []}, app: a:b}", "4:27: listeners[0].routes[0].match.methods: found an empty list, expected at least one item"),
    ("{match: {methods: GET}, app: a:b}", "4:27: listeners[0].routes[0].match.methods: found 'GET', expected a list"),
    ("{respond: {status: 100}}", "4:28: listeners[0].routes[0].respond.status: found '100', expected an integer from 200 to 599"),
    ("{respond: {status: 204, body: x}}", "4:39: listeners[0].routes[0].respond.body: found a body, expected none: a 204 response has no body"),
    ("{respond: {headers: {'a b': c}}}", "4:30: listeners[0].routes[0].respond.headers.a b: found 'a b', expected a header name"),
    ("{respond: {headers: {Content-Length: 5}}}", "4:30: listeners[0].routes[0].respond.headers.Content-Length: found 'Content-Length', expected another header: this one is set by Penstock itself"),
    (r'{respond: {headers: {a: "b\r\nc: d"}}}', r"4:33: listeners[0].routes[0].respond.headers.a: found 'b\r\nc: d', expected a header value"),
    ("{respond: {headers: {a: €}}}", "4:33: listeners[0].routes[0].respond.headers.a: found '€', expected a header value"),
    ("{respond: {headers: [a]}}", "4:29: listeners[0].routes[0].respond.headers: found a list, expected a mapping"),
    ("{respond: hello}", "4:19: listeners[0].routes[0].respond: found 'hello', expected a mapping with status, headers or body"),
    ("{name: '', app: a:b}", "4:16: listeners[0].routes[0].name: found '', expected a name of 1 to 200 characters on one line"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ROUTE_FAULTS, ids=[text for text, _ in ROUTE_FAULTS])
def test_a_fault_of_a_route_is_told_likewise(faults: Faults, text: str, expected: str) -> None:
    """
    As above, two levels down.
    """
    (found,) = faults(f"{ROUTES}      - {text}\n")

    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workers: 1\n", "1:1: found no 'listeners', expected at least one, or APP on the command line"),
        ("listeners: []\n", "1:12: listeners: found an empty list, expected at least one item"),
        ("listeners: {}\n", "1:12: listeners: found a mapping, expected a list"),
        ("listeners:\n", "1:11: listeners: found nothing, expected a list"),
        ("listeners: [x]\n", "1:13: listeners[0]: found 'x', expected a mapping with name, bind"),
        ("listeners: [{routes: [{app: a:b}]}]\n", "1:13: listeners[0]: found no 'bind', expected host:port"),
        (
            "listeners: [{bind: ':80'}]\n",
            "1:13: listeners[0]: found no 'routes', expected a list under that key",
        ),
        ("listeners: [{bind: ':80', routes: []}]\n", "1:35: listeners[0].routes: found an empty list"),
        ("- 1\n", "1:1: found a list, expected a mapping with name, workers"),
        ("hello\n", "1:1: found 'hello', expected a mapping with name, workers"),
        ("null\n", "1:1: found null, expected a mapping with name"),
    ],
)
def test_a_file_without_its_main_parts_is_refused(faults: Faults, text: str, expected: str) -> None:
    """
    A file of another program, or one that was only begun.
    """
    (found,) = faults(text)

    assert found.startswith(expected)


def test_all_faults_are_told_at_once_in_the_order_of_the_file(faults: Faults) -> None:
    """
    One run, one round of corrections.
    """
    found = faults(
        "wrokers: 3\npin: 7\nlisteners:\n"
        "  - {bind: x, routes: [{app: a}, {}]}\n"
        "  - {bind: ':80', routes: [{app: 'a:b'}]}\n"
        "  - {bind: ':80', routes: [{app: 'a:b', match: {methods: [GTE, PSOT]}}], limits: {body_bytes: x}}\n"
        "log: {level: loud}\n"
    )

    assert [each.split(": ")[0] for each in found] == [
        "1:1",
        "2:6",
        "4:12",
        "4:30",
        "4:34",
        "6:12",
        "6:59",
        "6:64",
        "6:95",
        "7:14",
    ]


def test_a_file_of_another_kind_does_not_flood_the_terminal(load: Load) -> None:
    """
    Nobody reads the four-hundredth line.
    """
    with pytest.raises(Exception, match="and 350 more") as caught:
        load("".join(f"key{number}: x\n" for number in range(400)))
    assert len(str(caught.value).splitlines()) == 51


def test_aliases_that_multiply_are_stopped(faults: Faults) -> None:
    """
    A billion laughs in twelve lines.
    """
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (found,) = faults("log: {config: {" + ", ".join(lines) + "}}\n" + LISTENERS)

    assert "too many aliases" in found
