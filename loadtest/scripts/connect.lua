-- GET / with a connection of its own for every request:
--   wrk -t1 -c64 -d10s -s loadtest/scripts/connect.lua http://127.0.0.1:8000/

wrk.headers["Connection"] = "close"
