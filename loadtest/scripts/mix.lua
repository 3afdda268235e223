-- Visitors: a weighted mix of paths, with time to think between an answer and the next request.
--   wrk  -t1 -c64 -d10s -s loadtest/scripts/mix.lua http://127.0.0.1:8000/
--   wrk2 -t1 -c64 -d30s -R1000 -s loadtest/scripts/mix.lua http://127.0.0.1:8000/
-- Thinking is wrk's `delay`. An open loop has no use for it: there the rate paces, and the time
-- between two requests of a connection is connections / rate.

-- Weights are percent. `/slow` is for an app that takes its time there; other apps answer as they like.
local PATHS = {
  { weight = 60, path = "/" },
  { weight = 25, path = "/items" },
  { weight = 13, path = "/items/7?fields=name,price" },
  { weight = 2, path = "/slow" },
}
local THINK_MS_MIN, THINK_MS_MAX = 10, 30

-- The same requests in the same order on every run: each thread draws from a sequence of its own,
-- the "minimal standard" generator of Park and Miller, which is exact in Lua's numbers.
local MODULUS, FACTOR = 2147483647, 16807
local state

local thread_count = 0

function setup(thread)
  thread_count = thread_count + 1
  thread:set("thread_number", thread_count)
end

function init()
  state = 20260314 + 7919 * (thread_number or 1)
end

-- Draw a whole number of 0..limit-1.
local function draw(limit)
  state = state * FACTOR % MODULUS
  return math.floor(state / MODULUS * limit)
end

function request()
  local ticket = draw(100)
  for _, choice in ipairs(PATHS) do
    if ticket < choice.weight then return wrk.format(nil, choice.path) end
    ticket = ticket - choice.weight
  end
end

function delay()
  return THINK_MS_MIN + draw(THINK_MS_MAX - THINK_MS_MIN + 1)
end
