-- Appended to a user's script for wrk and wrk2: the result as one line of JSON, the last of the output.
-- The runner puts SCRIPT, the file's path, and PERCENTILES, ascending, in front.

local is_loaded, message = pcall(dofile, SCRIPT)
if not is_loaded then
  -- wrk would shrug and send GET / for the whole run.
  io.stderr:write(tostring(message), "\n")
  os.exit(1)
end

-- How many requests the first write has. Each thread counts its own; `done` runs in none of them,
-- and asks the first.
local users_setup, users_init, users_done = setup, init, done
local first_thread

function setup(thread)
  first_thread = first_thread or thread
  if users_setup then users_setup(thread) end
end

function init(arguments)
  if users_init then users_init(arguments) end
  local users_request = request
  if users_request then
    function request()
      request = users_request -- One look is enough, and costs nothing later.
      local text = users_request()
      _, requests_per_write = text:gsub(" HTTP/1%.[01]\r\n", "")
      return text
    end
  end
end

function done(summary, latency, requests)
  io.write("@script\n")
  if users_done then
    local is_done, complaint = pcall(users_done, summary, latency, requests)
    if not is_done then io.write(tostring(complaint), "\n") end
  end
  local points = {}
  for _, percentile in ipairs(PERCENTILES) do
    if (100 - percentile) / 100 * summary.requests >= 1 then
      points[#points + 1] = { percentile, latency:percentile(percentile) }
    end
  end
  points[#points + 1] = { 100, latency.max }
  local told = {}
  if summary.requests > 0 then
    for index, point in ipairs(points) do told[index] = string.format("[%.9g, %d]", point[1], point[2]) end
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration_s": %.6f, "requests_per_write": %d, "curve": [%s], ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
    summary.requests, summary.duration / 1e6, first_thread:get("requests_per_write") or 1, table.concat(told, ", "),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
