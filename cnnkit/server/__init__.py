"""An HTTP server: what the commands do, for programs and for a page to play on.

`http.build_app` makes the application; `models` keeps the networks loaded, `painting` the optimised
pictures, `studio` is the page. It needs `pip install ".[serve]"`, the page `".[studio]"`.
"""
