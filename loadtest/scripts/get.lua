-- GET over and over, of the path in the URL: the least a client can ask.
--   wrk  -t1 -c64 -d10s -s loadtest/scripts/get.lua http://127.0.0.1:8000/
--   wrk2 -t1 -c64 -d30s -R5000 -s loadtest/scripts/get.lua http://127.0.0.1:8000/

wrk.method = "GET"
