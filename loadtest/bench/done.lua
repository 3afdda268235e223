-- Appended to a user's script for wrk and wrk2: the result as one line of JSON, the last of the output.
-- The runner puts SCRIPT, the file's path, and PERCENTILES, ascending, in front.

local is_loaded, message = pcall(dofile, SCRIPT)
if not is_loaded then
  -- wrk would shrug and send GET / for the whole run.
  io.stderr:write(tostring(message), "\n")
  os.exit(1)
end

local users_done = done

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
  -- wrk fills in latencies that it takes for omitted. When a script pipelines it takes far too many
  -- for that, loses its place among them and answers 0: such percentiles are none.
  local told = {}
  for index, point in ipairs(points) do
    if index > 1 and point[2] < points[index - 1][2] then
      told = {}
      break
    end
    told[index] = string.format("[%.9g, %d]", point[1], point[2])
  end
  if summary.requests == 0 then told = {} end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration_s": %.6f, "curve": [%s], ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
    summary.requests, summary.duration / 1e6, table.concat(told, ", "),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
