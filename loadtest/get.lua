-- GET / over and over, for wrk and wrk2. Fails loudly: a benchmark of error pages is no benchmark.
--   wrk -t1 -c64 -d10s -s loadtest/get.lua http://127.0.0.1:8000/
-- The last line is one JSON object, for programs.

wrk.method = "GET"

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  not_ok = 0
end

function response(status, headers, body)
  if status ~= 200 then
    not_ok = not_ok + 1
  end
end

function done(summary, latency, requests)
  local bad = 0
  for _, thread in ipairs(threads) do
    bad = bad + thread:get("not_ok")
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.3f, "p50_us": %d, "p99_us": %d, "max_us": %d, ' ..
    '"not_200": %d, "connect_errors": %d, "read_errors": %d, "write_errors": %d, "timeouts": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency.max,
    bad, errors.connect, errors.read, errors.write, errors.timeout))
end
