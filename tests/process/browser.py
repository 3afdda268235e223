"""
A real browser for tests of pages: headless Chromium, told what to do over a pipe.

Chromium is needed; where it is missing a test fails, because a page that nobody
has looked at is not known to work.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEADLINE_S = 30
NARROW, PHONE, DESK = 360, 390, 1100

# Puts the pipe's ends where Chromium looks for them, and becomes Chromium.
TRAMPOLINE = """
import os, sys
reading, writing, *command = sys.argv[1:]
os.dup2(int(reading), 3)
os.dup2(int(writing), 4)
os.execvp(command[0], command)
"""


@contextlib.contextmanager
def open_browser() -> "Iterator[Browser]":
    """Start Chromium with a profile of its own, and end it."""
    with tempfile.TemporaryDirectory(prefix="penstock-chromium-", ignore_cleanup_errors=True) as profile:
        started = Browser(Path(profile))
        try:
            yield started
        finally:
            started.close()


class Browser:
    """Chromium without a window, spoken to in the DevTools protocol: JSON, each message ended by a NUL."""

    def __init__(self, profile: Path) -> None:
        program = (
            shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        )
        assert program is not None, "Chromium is missing: install the package chromium"
        to_browser, self._orders = os.pipe()
        self._reports, from_browser = os.pipe()
        # Far above 4, so that putting one end in its place does not close the other.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 16) for end in (to_browser, from_browser)]
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
            "--disable-background-networking --disable-component-update --hide-scrollbars "
            "--disable-dev-shm-usage --remote-debugging-pipe"
        )
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", TRAMPOLINE, *map(str, ends)),
                *(program, *flags.split(), f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (to_browser, from_browser, *ends):
            os.close(end)
        self._received = b""
        self._last_id = 0
        self._tabs: dict[str, Tab] = {}
        self._targets: list[str] = []

    def order(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Have something done, and return what came of it."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._orders, json.dumps(message).encode() + b"\0")
        while True:
            report = self.next_report()
            if report.get("id") == message["id"]:
                assert "error" not in report, f"{method}: {report.get('error')}"
                result: dict[str, Any] = report["result"]
                return result

    def next_report(self) -> dict[str, Any]:
        """Return the next message. The test's own deadline bounds the wait."""
        while b"\0" not in self._received:
            more = os.read(self._reports, 1 << 16)
            assert more, "Chromium ended"
            self._received += more
        message, _, self._received = self._received.partition(b"\0")
        report: dict[str, Any] = json.loads(message)
        tab = self._tabs.get(report.get("sessionId", ""))
        if tab is not None and "method" in report:
            tab.note(report["method"], report["params"])
        return report

    def open_tab(self, url: str, *, width: int = DESK, scheme: str = "light") -> "Tab":
        """Load a page as somebody with such a screen and such a taste sees it."""
        target = self.order("Target.createTarget", url="about:blank")["targetId"]
        self._targets.append(target)
        session = self.order("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        tab.order("Page.enable")
        tab.order("Runtime.enable")
        tab.order("Log.enable")
        tab.order("Network.enable")
        tab.order(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        tab.order("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        tab.order("Page.navigate", url=url)
        while not tab.is_loaded:
            self.next_report()
        return tab

    def close_tabs(self) -> None:
        """Close every tab that was opened."""
        while self._targets:
            self.order("Target.closeTarget", targetId=self._targets.pop())
        self._tabs.clear()

    def close(self) -> None:
        """End Chromium and its helpers, all of which are in a session of their own."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=DEADLINE_S)
        os.close(self._orders)
        os.close(self._reports)


class Tab:
    """One page, what it asked for, and what the browser had to complain of."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.is_loaded = False
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def order(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.order(method, self._session, **params)

    def note(self, event: str, params: dict[str, Any]) -> None:
        """Keep what the developer console would show in red, and what the page asks for."""
        if event == "Page.loadEventFired":
            self.is_loaded = True
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def value(self, expression: str) -> Any:
        """Return what an expression is worth in the page; a promise is awaited."""
        answer = self.order("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        held = self.value(
            f"""new Promise((done) => {{
              const deadline = Date.now() + {DEADLINE_S * 1000};
              const look = () => {{
                if ({condition}) done(true);
                else if (Date.now() > deadline) done(false);
                else setTimeout(look, 20);
              }};
              look();
            }})"""
        )
        assert held, f"never true: {condition}\n{self.text()}\n{self.complaints}"

    def text(self, selector: str = "body") -> str:
        """Return what a person reads, in one line."""
        found = self.value(f"document.querySelector({json.dumps(selector)}).innerText")
        return re.sub(r"\s+", " ", found).strip()


def assert_legible(
    tab: Tab, scheme: str, inks: tuple[str, ...], grounds: tuple[str, ...], least: float = 4.5
) -> None:
    """Hold every ink against every ground, by WCAG's measure: 4.5 for text, 3 for what is drawn."""
    body = tab.value("getComputedStyle(document.body).backgroundColor")
    assert (luminance(*map(int, re.findall(r"\d+", body))) < 0.5) == (scheme == "dark")
    for ink in inks:
        for ground in grounds:
            lighter, darker = sorted((luminance_of(tab, ink), luminance_of(tab, ground)), reverse=True)
            contrast = (lighter + 0.05) / (darker + 0.05)
            assert contrast >= least, f"{ink} on {ground}, {scheme}: {contrast:.2f}"


def luminance_of(tab: Tab, variable: str) -> float:
    colour = tab.value(f"getComputedStyle(document.documentElement).getPropertyValue('{variable}').trim()")
    return luminance(*(int(colour[at : at + 2], 16) for at in (1, 3, 5)))


def luminance(*channels: int) -> float:
    """Return the relative luminance of an sRGB colour, as WCAG 2.2 defines it."""
    linear = (c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
