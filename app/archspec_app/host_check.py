"""Whom the page's server answers: requests for a name it was started for, from its own page.

A page of another site that a visitor has open can send requests to this machine, too, and a name
of its own can lead here (DNS rebinding). ``Host`` holds the name that is asked for, ``Origin`` the
page that asks: both are checked before anything else looks at a request. After that, only the
routes that the page needs are open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from archspec_app.request_limits import Application, Message, Receive, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::", "")
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}
_OWN = ("same-origin", "none")

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
)
"""Those of Gradio's routes that the page needs. Closed are all that take files (``upload``), give
files out (``file=``, ``stream``, ``proxy=``, ``custom_component``), or run a handler past the queue
(``run``, ``call``, ``api``, ``component_server``)."""

_ROUTES = [(re.compile(path), methods) for path, methods in ROUTES]


@dataclass(frozen=True, slots=True)
class HostName:
    """A host and its port, as ``Host`` has them: lower case, an address without brackets."""

    host: str
    port: int | None

    @classmethod
    def of(cls, text: str) -> HostName | None:
        """None if it is not a host with or without a port.

        >>> HostName.of("LocalHost.:7860"), HostName.of("user@localhost")
        (HostName(host='localhost', port=7860), None)
        """
        found = _HOST.fullmatch(text.lower())
        if found is None or (found["port"] and not 0 < int(found["port"]) < 65536):
            return None
        host = _address(found["six"]) if found["six"] else found["name"].removesuffix(".")
        return cls(host, int(found["port"]) if found["port"] else None) if host else None


def _address(text: str) -> str:
    """An address in one way of writing; an IPv4 address inside IPv6 is that address."""
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    inner = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(inner or found)


class HostCheck:
    """Refuses requests that are not meant for this server, or not sent by its own page.

    Args:
        app: what answers the others; an ASGI application.
        host: the address that the server listens at.
        port: of it.
        names: more names, ``NAME`` with any port or ``NAME:PORT``.
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
        mine = (*LOOPBACK, *(() if self.everywhere else (host.lower().strip("[]"),)))
        self.own = {HostName(_address(one) or one.removesuffix("."), port) for one in mine}
        self.named = {name for one in names if (name := allowed_name(one))}
        self.root_path = urlsplit(root_path or "").path.rstrip("/")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif refusal := self._refusal(scope):
            await _refuse(send, *refusal)
        else:
            await self.app(scope, receive, _unframed(send))

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        hosts = _header(scope, b"host")
        host = HostName.of(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_mine(host, scope):
            named = hosts[0][:100] if hosts else "(none)"
            return 421, f"This server was not started for the host {named!r}. {_HELP}"
        if not self._is_own_page(host, scope):
            return 403, f"This page answers no request from another page. {_HELP}"
        if not self._is_open(scope):
            return 404, "There is nothing at this address."
        return None

    def _is_mine(self, host: HostName, scope: Message) -> bool:
        port = host.port or _PORTS.get(scope.get("scheme", "http"))
        if HostName(host.host, port) in self.own or self._is_named(host):
            return True
        # At all addresses of the machine: the very address that was connected to. A name can be
        # made to lead here by whoever owns it, an address cannot.
        reached = _address(str((scope.get("server") or ("",))[0]))
        return self.everywhere and bool(reached) and (host.host, port) == (reached, self.port)

    def _is_named(self, host: HostName) -> bool:
        return host in self.named or HostName(host.host, None) in self.named

    def _is_own_page(self, host: HostName, scope: Message) -> bool:
        if origins := _header(scope, b"origin"):
            return len(origins) == 1 and _is_of(origins[0], host, only_origin=True)
        # A link on another page may lead to this one; that changes nothing here.
        if scope["method"] in _READ and self._path(scope) == "/" and not _is_framed(scope):
            return True
        if sites := _header(scope, b"sec-fetch-site"):
            return all(one in _OWN for one in sites)
        return all(_is_of(one, host) for one in _header(scope, b"referer"))

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
        return any(method in methods and one.fullmatch(path) for one, methods in _ROUTES)


_HELP = "If it should, start it with --allow-host NAME; a proxy has to pass Host on as it is."


def allowed_name(text: str) -> HostName | None:
    """What ``--allow-host`` takes: a name or an address, with or without a port.

    >>> allowed_name("nets.example.org"), allowed_name("http://nets.example.org")
    (HostName(host='nets.example.org', port=None), None)
    """
    return HostName.of(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)


def _is_of(url: str, host: HostName, *, only_origin: bool = False) -> bool:
    """Whether a page's address is of the host that it asks."""
    scheme, _, rest = url.partition("://")
    named = HostName.of(rest if only_origin else rest.partition("/")[0])
    if named is None or (port := _PORTS.get(scheme)) is None:
        return False
    return (named.host, named.port or port) == (host.host, host.port or port)


def _is_framed(scope: Message) -> bool:
    return any(one != "document" for one in _header(scope, b"sec-fetch-dest"))


def _header(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def _unframed(send: Send) -> Send:
    """No page of another site shows this one inside it, where its buttons could be covered."""

    async def with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            policy = (b"content-security-policy", b"frame-ancestors 'none'")
            message = {**message, "headers": [*message.get("headers", ()), policy]}
        await send(message)

    return with_policy


async def _refuse(send: Send, status: int, text: str) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode("utf-8", "replace")})
