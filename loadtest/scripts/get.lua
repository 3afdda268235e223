-- GET / over and over, for wrk and wrk2:
--   wrk -t1 -c64 -d10s -s loadtest/get.lua http://127.0.0.1:8000/
-- The last line of output is one JSON object, for programs. `not_ok` counts the
-- responses above 399: a benchmark of error pages is no benchmark.

wrk.method = "GET"

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.3f, "p50_us": %d, "p99_us": %d, "max_us": %d, ' ..
    '"not_ok": %d, "connect_errors": %d, "read_errors": %d, "write_errors": %d, "timeouts": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
