-- What a script finds under wrk and wrk2: the table `wrk`, and its threads, of which ours has one.

wrk = { scheme = "http", host = "localhost", port = nil, method = "GET", path = "/", headers = {}, body = nil }

local function host_header()
  local host = wrk.host:find(":", 1, true) and "[" .. wrk.host .. "]" or wrk.host
  return wrk.port and host .. ":" .. wrk.port or host
end

-- Write a request; what is nil comes from the table `wrk`.
function wrk.format(method, path, headers, body)
  body = body or wrk.body
  local lines = { (method or wrk.method) .. " " .. (path or wrk.path) .. " HTTP/1.1" }
  local has_host = false
  for name, value in pairs(headers or wrk.headers) do
    local lower = name:lower()
    has_host = has_host or lower == "host"
    -- The length is ours to say, whatever the script thinks it is.
    if lower ~= "content-length" then lines[#lines + 1] = name .. ": " .. tostring(value) end
  end
  if not has_host then table.insert(lines, 2, "Host: " .. (wrk.headers["Host"] or host_header())) end
  if body then lines[#lines + 1] = "Content-Length: " .. #body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- A script may give its threads names and numbers. Our one thread shares the script's globals.
local thread = {}
function thread:set(name, value) _G[name] = value end
function thread:get(name) return _G[name] end
function thread:stop() error("thread:stop() is not supported here") end
wrk.thread = thread

function start(arguments)
  wrk.headers["Host"] = wrk.headers["Host"] or host_header()
  if setup then setup(thread) end
  if init then init(arguments) end
end
