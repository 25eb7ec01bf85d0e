"""Middleware: answers only requests for a host it was started for, sent by its own page.

A page of another site that a visitor has open can send requests to this machine, too, and its own
host name can be made to resolve to this machine (DNS rebinding). ``Host`` names the host that is
requested, ``Origin`` the page that sends the request: both are checked before anything else looks
at a request. After that, only the routes that the page needs are open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from archspec_app.request_limits import Application, Message, Receive, Send, send_text

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::", "")
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_PORTS = {"http": 80, "https": 443}
_OWN_SITES = ("same-origin", "none")

_READ = frozenset({"GET", "HEAD"})
_SESSION = "[A-Za-z0-9_-]{1,64}"
ROUTES: tuple[tuple[str, frozenset[str]], ...] = (
    ("/", _READ),
    ("/config/?", _READ),
    ("/(?:assets|static|svelte)/.+", _READ),
    ("/(?:theme.css|favicon.ico|manifest.json|robots.txt|pwa_icon)", _READ),
    ("/gradio_api/(?:info|theme.css|startup-events|app_id|user|login_check)/?", _READ),
    (f"/gradio_api/heartbeat/{_SESSION}", frozenset({"GET"})),
    ("/gradio_api/queue/data", frozenset({"GET"})),
    ("/gradio_api/queue/join", frozenset({"POST"})),
    ("/login/?", frozenset({"POST"})),
    ("/logout", frozenset({"GET"})),
    (
        "/archspec/(?:(?:canvas|editor|editor_tools|tabs|views)[.]js|language[.]json)",
        frozenset({"GET"}),
    ),
)
"""The routes that the page needs; the last two are ours. Of Gradio's, those are closed that take
files (``upload``), serve files (``file=``, ``stream``, ``proxy=``, ``custom_component``), or run a
handler past the queue (``run``, ``call``, ``api``, ``component_server``)."""

_ROUTES = [(re.compile(path), methods) for path, methods in ROUTES]


@dataclass(frozen=True, slots=True)
class HostName:
    """A host and its port, as ``Host`` has them: lower case, an address without brackets."""

    host: str
    port: int | None

    @classmethod
    def of(cls, text: str) -> HostName | None:
        """Parse a host with or without a port; None if it is neither.

        >>> HostName.of("LocalHost.:7860"), HostName.of("user@localhost")
        (HostName(host='localhost', port=7860), None)
        """
        match = _HOST.fullmatch(text.lower())
        if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
            return None
        host = _address(match["ipv6"]) if match["ipv6"] else match["name"].removesuffix(".")
        return cls(host, int(match["port"]) if match["port"] else None) if host else None


def _address(text: str) -> str:
    """An address in its usual notation, an IPv4-mapped IPv6 address as IPv4; "" if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class HostCheck:
    """Refuses requests that are not meant for this server, or not sent by its own page.

    Args:
        app: the ASGI application behind it.
        host: the address that the server listens on.
        port: of it.
        names: further host names, ``NAME`` with any port or ``NAME:PORT``.
        root_path: the path below which a proxy shows the page.
    """

    def __init__(
        self,
        app: Application,
        host: str,
        port: int,
        names: Iterable[str] = (),
        root_path: str | None = None,
    ) -> None:
        self.app, self.port = app, port
        self.everywhere = host in EVERYWHERE
        own = (*LOOPBACK, *(() if self.everywhere else (host.lower().strip("[]"),)))
        self.own = {HostName(_address(name) or name.removesuffix("."), port) for name in own}
        self.allowed = {parsed for name in names if (parsed := allowed_name(name))}
        self.root_path = urlsplit(root_path or "").path.rstrip("/")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif refusal := self._refusal(scope):
            await send_text(send, *refusal)
        else:
            await self.app(scope, receive, _deny_framing(send))

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        hosts = _header(scope, b"host")
        host = HostName.of(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_mine(host, scope):
            name = hosts[0][:100] if hosts else "(none)"
            return 421, f"This server was not started for the host {name!r}. {_HELP}"
        if not self._is_own_page(host, scope):
            return 403, f"This server answers no request from another page. {_HELP}"
        if not self._is_open(scope):
            return 404, "Not found."
        return None

    def _is_mine(self, host: HostName, scope: Message) -> bool:
        port = host.port or _PORTS.get(scope.get("scheme", "http"))
        if HostName(host.host, port) in self.own or self._is_allowed(host):
            return True
        # When listening on all addresses: the very address that was connected to. The owner of a
        # name can make it resolve to this machine, an address cannot be made to.
        reached = _address(str((scope.get("server") or ("",))[0]))
        return self.everywhere and bool(reached) and (host.host, port) == (reached, self.port)

    def _is_allowed(self, host: HostName) -> bool:
        return host in self.allowed or HostName(host.host, None) in self.allowed

    def _is_own_page(self, host: HostName, scope: Message) -> bool:
        if origins := _header(scope, b"origin"):
            return len(origins) == 1 and _is_of(origins[0], host, only_origin=True)
        # Another page may link to this one; following the link changes nothing here.
        if scope["method"] in _READ and self._path(scope) == "/" and not _is_framed(scope):
            return True
        if sites := _header(scope, b"sec-fetch-site"):
            return all(site in _OWN_SITES for site in sites)
        return all(_is_of(url, host) for url in _header(scope, b"referer"))

    def _path(self, scope: Message) -> str:
        path = scope["path"]
        if self.root_path and f"{path}/".startswith(f"{self.root_path}/"):
            path = path[len(self.root_path) :]
        return path or "/"

    def _is_open(self, scope: Message) -> bool:
        path, method = self._path(scope), scope["method"]
        parts = path.split("/")
        if ".." in parts or "\\" in path or not path.isprintable():
            return False
        return any(method in methods and route.fullmatch(path) for route, methods in _ROUTES)


_HELP = "If it should, start it with --allow-host NAME; a proxy must pass Host on unchanged."


def allowed_name(text: str) -> HostName | None:
    """What ``--allow-host`` takes: a name or an address, with or without a port.

    >>> allowed_name("nets.example.org"), allowed_name("http://nets.example.org")
    (HostName(host='nets.example.org', port=None), None)
    """
    return HostName.of(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)


def _is_of(url: str, host: HostName, *, only_origin: bool = False) -> bool:
    """Whether a page's URL is on the host that it sends a request to."""
    scheme, _, rest = url.partition("://")
    page = HostName.of(rest if only_origin else rest.partition("/")[0])
    if page is None or (port := _PORTS.get(scheme)) is None:
        return False
    return (page.host, page.port or port) == (host.host, host.port or port)


def _is_framed(scope: Message) -> bool:
    return any(target != "document" for target in _header(scope, b"sec-fetch-dest"))


def _header(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def _deny_framing(send: Send) -> Send:
    """Forbid other sites to show the page in a frame, where its buttons could be covered."""

    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            policy = (b"content-security-policy", b"frame-ancestors 'none'")
            message = {**message, "headers": [*message.get("headers", ()), policy]}
        await send(message)

    return send_with_policy
