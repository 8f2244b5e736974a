"""A headless Chromium under WebDriver, of which a dozen calls are needed."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.eventually import eventually
from tests.tools import tool

Plain = dict[str, Any]

CALL_MAX_S: Final = 60.0

# WebDriver's names of keys: the private-use characters of its specification.
TAB, ENTER, SPACE, SHIFT = "\ue004", "\ue007", " ", "\ue008"


@dataclass(frozen=True)
class Browser:
    """One session; all calls are of https://www.w3.org/TR/webdriver2/."""

    port: int
    session: str

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("url", url=url)

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript; give what it returns."""
        return self._call("execute/sync", script=script, args=arguments)

    def press(self, *keys: str, held: str = "") -> None:
        """Press and release keys as a keyboard does, with another one held down."""
        strokes = [
            {"type": kind, "value": key}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        if held:
            strokes = [
                {"type": "keyDown", "value": held},
                *strokes,
                {"type": "keyUp", "value": held},
            ]
        keyboard = {"type": "key", "id": "keyboard", "actions": strokes}
        self._call("actions", actions=[keyboard])

    def resize(self, width: int, height: int) -> None:
        """Be a screen of this size, in CSS pixels; a phone's, if it is narrow."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, scheme: str) -> None:
        """Ask for ``dark`` or ``light``, as the system's settings do."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._devtools("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        shown = _ask(self.port, "GET", f"/session/{self.session}/screenshot")
        path.write_bytes(base64.b64decode(shown))

    def _devtools(self, command: str, **params: object) -> None:
        self._call("goog/cdp/execute", cmd=command, params=params)

    def _call(self, command: str, **plain: object) -> Any:
        return _ask(self.port, "POST", f"/session/{self.session}/{command}", plain)


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """Yield a browser of one's own."""
    chromium = tool("chromium", "chromium-browser", package="chromium")
    driver = tool("chromedriver", package="chromium-driver")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: _is_ready(port), within_s=30.0, describe="chromedriver")
            session = _begun(port, chromium, profile)
            yield Browser(port, session)
            _ask(port, "DELETE", f"/session/{session}")
        finally:
            process.terminate()  # and with it the browser, if that is still there


def _is_ready(port: int) -> bool:
    try:
        return bool(_ask(port, "GET", "/status")["ready"])
    except OSError:
        return False


def _begun(port: int, chromium: str, profile: Path) -> str:
    options = {
        "binary": chromium,
        "args": [
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update"),
            f"--user-data-dir={profile}",
        ],
    }
    wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
    return str(_ask(port, "POST", "/session", {"capabilities": wanted})["sessionId"])


def _ask(port: int, method: str, path: str, plain: Plain | None = None) -> Any:
    with closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_MAX_S)
    ) as asked:
        asked.request(method, path, None if plain is None else json.dumps(plain))
        answer = asked.getresponse()
        told = json.load(answer)["value"]
    assert answer.status == 200, (path, told)
    return told
