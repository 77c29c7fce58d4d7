-- A small order as a web application sends it.
wrk.method = "POST"
wrk.path = "/api/v1/orders"
wrk.body = '{"user":{"id":12345,"name":"Jane Doe","roles":["admin","editor"]},"items":[{"sku":"A-100","qty":2,"price":9.99}],"note":"Deliver between 9 and 12, ring the bell twice"}'
wrk.headers["Host"] = "www.example.com"
wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
wrk.headers["Accept"] = "application/json"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Cookie"] = "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark"
