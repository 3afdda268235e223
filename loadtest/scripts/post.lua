-- POST of 4 KiB of JSON, as an API gets it, to the path in the URL.
--   wrk  -t1 -c64 -d10s -s loadtest/scripts/post.lua http://127.0.0.1:8000/
--   wrk2 -t1 -c64 -d30s -R2000 -s loadtest/scripts/post.lua http://127.0.0.1:8000/

local SIZE = 4096

-- A list of orders, the last one's note stretched so that the body has its size to the byte.
local function body()
  local orders = {}
  local length = #'{"orders":[]}'
  for number = 1, SIZE do
    local order = string.format(
      '{"number":%d,"item":"turbine","count":%d,"price":%d.50,"note":""}', number, number % 7 + 1, number * 3)
    if length + #order + 1 > SIZE then break end
    orders[number] = order
    length = length + #order + 1
  end
  length = length - 1 -- There is no comma after the last.
  orders[#orders] = orders[#orders]:gsub('""}$', '"' .. string.rep("x", SIZE - length) .. '"}')
  return '{"orders":[' .. table.concat(orders, ",") .. "]}"
end

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = body()
