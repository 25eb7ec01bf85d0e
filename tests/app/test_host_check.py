"""Whom the page's server answers: by Host, by Origin, and at which routes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from archspec_app.host_check import HostCheck

Headers = Sequence[tuple[str, str]]
HERE = [("host", "127.0.0.1:7860")]
ROUTES = """
import json, os, re
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
from gradio.routes import App
from archspec_app.page import make_page

def routes(found):
    for one in found:
        inner = getattr(one, "original_router", None)  # of FastAPI's that includes one lazily
        yield from routes(inner.routes) if inner else [one]

page, _ = make_page(None)
page.footer_links = []
found = routes(App.create_app(page).routes)
found = [(method, re.sub("{[^}]*}", "x", one.path)) for one in found for method in one.methods]
print(json.dumps(found))
"""


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def asked(
    headers: Headers,
    path: str = "/config",
    method: str = "GET",
    *,
    guard: HostCheck | None = None,
    server: tuple[str, int] = ("127.0.0.1", 7860),
    kind: str = "http",
) -> Any:
    """What a request is answered."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": kind, "path": path, "method": method, "scheme": "http", "server": server,
        "headers": [(key.encode(), value.encode("latin-1")) for key, value in headers],
    }  # fmt: skip
    guard = guard or HostCheck(_app, "127.0.0.1", 7860)
    with ThreadPoolExecutor(1) as pool:  # the browser tests keep a loop in the main thread
        pool.submit(asyncio.run, guard(scope, None, send)).result()  # pyright: ignore[reportArgumentType]
    return sent


def status(headers: Headers, path: str = "/config", method: str = "GET", **more: Any) -> int:
    return asked(headers, path, method, **more)[0].get("status", 0)


def hosts(*names: str) -> Headers:
    return [("host", name) for name in names]


def test_only_names_that_it_was_started_for_are_answered() -> None:
    named = HostCheck(_app, "nets.lan", 80, ["Proxy.example.org", "tunnel:8888", "[fd00::1]:9"])
    everywhere = HostCheck(_app, "0.0.0.0", 7860)
    dual = HostCheck(_app, "::", 7860)
    lan, mapped = ("192.168.1.5", 7860), ("::ffff:192.168.1.5", 7860)
    rows: list[tuple[Headers, int, dict[str, Any]]] = [
        (hosts("127.0.0.1:7860"), 200, {}),
        (hosts("localhost:7860"), 200, {}),
        (hosts("LOCALHOST.:7860"), 200, {}),
        (hosts("[::1]:7860"), 200, {}),
        (hosts("[0:0:0:0:0:0:0:1]:7860"), 200, {}),
        (hosts("127.0.0.1"), 421, {}),
        (hosts("127.0.0.1:80"), 421, {}),
        (hosts("localhost:3000"), 421, {}),
        (hosts("localhost..:7860"), 421, {}),
        (hosts("127.0.0.2:7860"), 421, {}),
        (hosts("127.1:7860"), 421, {}),
        (hosts("2130706433:7860"), 421, {}),
        (hosts("evil.example:7860"), 421, {}),
        (hosts("localhost.evil.example:7860"), 421, {}),
        (hosts("localhost:7860@evil.example"), 421, {}),
        (hosts("evil.example@localhost:7860"), 421, {}),
        (hosts("localhost:7860/x"), 421, {}),
        (hosts("localhost:7860 "), 200, {}),  # blanks around a value are none of it
        (hosts("localhost:7860, evil.example"), 421, {}),
        (hosts("localhost:07860000"), 421, {}),
        (hosts("localhost:"), 421, {}),
        (hosts("[::1:7860"), 421, {}),
        (hosts("[evil]:7860"), 421, {}),
        (hosts("[::ffff:evil]:7860"), 421, {}),
        (hosts("ⅼocalhost:7860".encode().decode("latin-1")), 421, {}),
        (hosts(""), 421, {}),
        ([], 421, {}),
        (hosts("127.0.0.1:7860", "evil.example"), 421, {}),
        (hosts("127.0.0.1:7860", "127.0.0.1:7860"), 421, {}),
        (hosts("nets.lan"), 200, {"guard": named}),
        (hosts("NETS.LAN:80"), 200, {"guard": named}),
        (hosts("nets.lan:81"), 421, {"guard": named}),
        (hosts("localhost"), 200, {"guard": named}),
        (hosts("proxy.example.org"), 200, {"guard": named}),
        (hosts("proxy.example.org:8443"), 200, {"guard": named}),
        (hosts("tunnel:8888"), 200, {"guard": named}),
        (hosts("tunnel"), 421, {"guard": named}),
        (hosts("[fd00:0::1]:9"), 200, {"guard": named}),
        (hosts("192.168.1.5:7860"), 200, {"guard": everywhere, "server": lan}),
        (hosts("192.168.1.5:7860"), 200, {"guard": dual, "server": mapped}),
        (hosts("192.168.1.6:7860"), 421, {"guard": everywhere, "server": lan}),
        (hosts("192.168.1.5:80"), 421, {"guard": everywhere, "server": lan}),
        (hosts("evil.example:7860"), 421, {"guard": everywhere, "server": lan}),
        (hosts("0.0.0.0:7860"), 421, {"guard": everywhere, "server": lan}),
        (hosts("localhost:7860"), 200, {"guard": everywhere}),
        (hosts("192.168.1.5:7860"), 421, {"server": lan}),
    ]
    wrong = [(row, found) for row in rows if (found := status(row[0], **row[2])) != row[1]]
    assert not wrong


def test_only_the_pages_own_requests_are_answered() -> None:
    proxied = HostCheck(_app, "127.0.0.1", 7860, ["nets.example.org"])
    secure = {"guard": proxied}
    at_proxy = [("host", "nets.example.org")]
    rows: list[tuple[Headers, str, int, dict[str, Any]]] = [
        ([*HERE, ("origin", "http://127.0.0.1:7860")], "/config", 200, {}),
        ([*HERE, ("origin", "HTTP://127.0.0.1:7860")], "/config", 403, {}),
        ([*HERE, ("origin", "http://localhost:7860")], "/config", 403, {}),
        ([*HERE, ("origin", "http://127.0.0.1:3000")], "/config", 403, {}),
        ([*HERE, ("origin", "http://127.0.0.1")], "/config", 403, {}),
        ([*HERE, ("origin", "null")], "/config", 403, {}),
        ([*HERE, ("origin", "")], "/config", 403, {}),
        ([*HERE, ("origin", "file://")], "/config", 403, {}),
        ([*HERE, ("origin", "http://127.0.0.1:7860/")], "/config", 403, {}),
        ([*HERE, ("origin", "http://evil@127.0.0.1:7860")], "/config", 403, {}),
        ([*HERE, ("origin", "http://127.0.0.1:7860.evil.example")], "/config", 403, {}),
        ([*HERE, *[("origin", "http://127.0.0.1:7860")] * 2], "/config", 403, {}),
        ([*HERE, ("origin", "http://evil.example")], "/", 403, {}),
        ([*HERE, ("sec-fetch-site", "same-origin")], "/config", 200, {}),
        ([*HERE, ("sec-fetch-site", "none")], "/config", 200, {}),
        ([*HERE, ("sec-fetch-site", "same-site")], "/config", 403, {}),
        ([*HERE, ("sec-fetch-site", "cross-site")], "/assets/x.js", 403, {}),
        ([*HERE, ("sec-fetch-site", "cross-site")], "/gradio_api/heartbeat/x", 403, {}),
        ([*HERE, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")], "/", 200, {}),
        ([*HERE, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "iframe")], "/", 403, {}),
        ([*HERE, ("referer", "http://127.0.0.1:7860/?x")], "/config", 200, {}),
        ([*HERE, ("referer", "http://evil.example/")], "/config", 403, {}),
        (HERE, "/config", 200, {}),
        ([*at_proxy, ("origin", "https://nets.example.org")], "/config", 200, secure),
        ([*at_proxy, ("origin", "http://nets.example.org")], "/config", 200, secure),
        ([*at_proxy, ("origin", "https://nets.example.org:8443")], "/config", 403, secure),
        ([*HERE, ("origin", "https://nets.example.org")], "/config", 403, secure),
    ]
    wrong = [(row, found) for row in rows if (found := status(row[0], row[1], **row[3])) != row[2]]
    assert not wrong


def test_only_what_the_page_needs_is_open() -> None:
    """Every route that Gradio has, those of a later Gradio too."""
    # In a process of its own: Gradio leaves an event loop open.
    printed = subprocess.run([sys.executable, "-c", ROUTES], capture_output=True, check=True)
    routes = {(method, path) for method, path in json.loads(printed.stdout)}
    assert len(routes) > 60
    opened = {route for route in routes if status(HERE, route[1], route[0]) == 200}
    assert {path for method, path in opened if method == "POST"} == {
        "/gradio_api/queue/join", "/login", "/login/",
    }  # fmt: skip
    assert {path for method, path in opened if method != "POST"} == {
        "/", "/assets/x", "/config", "/config/", "/favicon.ico", "/gradio_api/app_id",
        "/gradio_api/app_id/", "/gradio_api/heartbeat/x", "/gradio_api/info", "/gradio_api/info/",
        "/gradio_api/login_check", "/gradio_api/login_check/", "/gradio_api/queue/data",
        "/gradio_api/startup-events", "/gradio_api/theme.css", "/gradio_api/user",
        "/gradio_api/user/", "/logout", "/manifest.json", "/pwa_icon", "/robots.txt", "/static/x",
        "/svelte/x", "/theme.css",
    }  # fmt: skip
    # Host and Origin come first, at every route.
    evil = [("host", "evil.example:7860")]
    assert {status(evil, path, method) for method, path in routes} == {421}
    evil = [*HERE, ("origin", "http://evil.example")]
    assert {status(evil, path, method) for method, path in routes} == {403}
    for path in ("/gradio_api/upload", "/gradio_api/file=x", "/assets/../config", "/x", "//config"):
        assert status(HERE, path) == status(HERE, path, "POST") == 404, path
    assert status(HERE, "/", "OPTIONS") == 404


def test_below_a_path() -> None:
    for root in ("/nets", "/nets/", "https://example.org/nets"):
        guard = HostCheck(_app, "127.0.0.1", 7860, root_path=root)
        rows = {"/nets": 200, "/nets/": 200, "/nets/config": 200, "/config": 200,
                "/netsconfig": 404, "/nets/gradio_api/upload": 404,
                "/nets/nets/config": 404}  # fmt: skip
        assert {path: status(HERE, path, guard=guard) for path in rows} == rows


def test_what_is_refused_says_what_to_do() -> None:
    start, body = asked(hosts("evil.example"))
    assert (b"content-type", b"text/plain; charset=utf-8") in start["headers"]
    assert b"'evil.example'" in body["body"] and b"--allow-host" in body["body"]
    assert asked(HERE, kind="websocket") == [{"type": "websocket.close", "code": 1008}]


def test_no_other_page_shows_it_inside() -> None:
    start = asked(HERE, "/")[0]
    assert (b"content-security-policy", b"frame-ancestors 'none'") in start["headers"]
