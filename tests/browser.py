"""Headless Chromium, driven over a pipe with the DevTools protocol, which needs no package."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import pytest

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="install Debian's chromium")

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
         "--disable-component-update", "--no-first-run", "--remote-debugging-pipe",
         "--proxy-server=127.0.0.1:9", "--proxy-bypass-list=127.0.0.1")  # no way to another host  # fmt: skip
WITH_ITS_PIPES = 'exec 3<&"$0" 4>&"$1"; shift; exec chromium "$@"'  # it reads from 3 and writes to 4
LISTENING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Page.enable", {}), ("Runtime.enable", {}), ("Network.enable", {}), ("Log.enable", {}),
    ("Target.setAutoAttach", {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}),
)  # to a page, and to frames and workers of other processes, before they begin


class Browser:
    """One page. `requests` are the addresses that it asked for, `errors` what it would print red in its console."""

    def __init__(self, profile: Path) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._profile, self._calls, self._buffer = profile, 0, b""

    def __enter__(self) -> Self:
        (its_end, self._to), (self._from, answers) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (its_end, answers)]  # clear of 3 and 4
        self._process = subprocess.Popen(
            ["bash", "-c", WITH_ITS_PIPES, *map(str, ends), *FLAGS, f"--user-data-dir={self._profile}"],
            pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for end in (its_end, answers, *ends):
            os.close(end)
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for method, params in LISTENING:
            self.call(method, **params)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result. What the page does meanwhile is noted."""
        number = self._send(method, self._session if session is None else session, params)
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self._note(message)

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def value(self, script: str) -> Any:
        """What the script evaluates to in the page; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (script, answer)
        return answer["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 60) -> Any:
        """Wait until the script is true; returns its value."""
        end = time.monotonic() + seconds
        while not (value := self.value(condition)):
            assert time.monotonic() < end, f"{condition}\n{self.text()}\n{self.errors}"
            time.sleep(0.2)
        return value

    def text(self) -> str:
        """What the page shows."""
        return str(self.value("document.body.innerText"))

    def wait_for_text(self, *texts: str) -> None:
        self.wait_for(f"{json.dumps(texts)}.every(text => document.body?.innerText.includes(text))")

    def click(self, text: str) -> None:
        """Click on the innermost element with exactly this text, as a mouse would."""
        found = f"""[...document.querySelectorAll("*")].filter(one => one.textContent.trim() === {json.dumps(text)}
                    && one.getClientRects().length).at(-1)"""
        self.wait_for(f"Boolean({found})")
        place = self.value(f"(() => {{ const one = {found}; one.scrollIntoView({{block: 'center'}}); "
                           "const box = one.getBoundingClientRect(); "
                           "return [box.x + box.width / 2, box.y + box.height / 2] })()")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def screenshot(self, path: Path, width: int, height: int = 1000) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        time.sleep(1)  # the page is laid out anew
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def other_hosts(self) -> list[str]:
        """Addresses asked for that lead out of this machine."""
        own = ("http://127.0.0.1:", "file:", "data:", "blob:", "about:")
        return [address for address in self.requests if not address.startswith(own)]

    def _send(self, method: str, session: str, params: dict[str, Any]) -> int:
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._calls

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._from, 1 << 16)
            assert part, "chromium has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Target.attachedToTarget":
                for method, options in (*LISTENING, ("Runtime.runIfWaitingForDebugger", {})):
                    self._send(method, params["sessionId"], options)
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.errors.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
