-- Sixteen GETs in each write: what a server makes of requests that wait in its buffer.
--   wrk  -t1 -c64 -d10s -s loadtest/scripts/pipeline.lua http://127.0.0.1:8000/
--   wrk2 -t1 -c64 -d30s -R20000 -s loadtest/scripts/pipeline.lua http://127.0.0.1:8000/
-- wrk2's rate counts requests, not writes.

local REQUESTS_PER_WRITE = 16

local batch

function init()
  batch = string.rep(wrk.format(), REQUESTS_PER_WRITE)
end

function request()
  return batch
end
