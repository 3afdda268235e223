-- GET of the path in the URL, with the headers of a browser, which a log has something to do with.
--   wrk  -t1 -c64 -d10s -s loadtest/scripts/browser.lua "http://127.0.0.1:8000/items/7?page=3"

wrk.method = "GET"
wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
wrk.headers["Accept-Language"] = "en-US,en;q=0.5"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
wrk.headers["Referer"] = "https://shop.example.com/items?page=2"
