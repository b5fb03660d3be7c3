"""Chromium, for the tests that look at a page and use it."""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and shutil.which("chromedriver")), reason="there is no Chromium with chromedriver"
)


class Browser:
    """Chromium through chromedriver's WebDriver interface."""

    def __init__(self, profile: Path) -> None:
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        assert self.driver.stdout
        started = (re.search(r"started successfully on port (\d+)", line) for line in self.driver.stdout)
        self.address = f"http://127.0.0.1:{next(match[1] for match in started if match)}"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        quiet = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        quiet += " disable-component-update disable-sync enable-unsafe-swiftshader window-size=1400,900"
        arguments = [f"--{flag}" for flag in [*quiet.split(), f"user-data-dir={profile}"]]
        options = {"args": arguments, "binary": CHROMIUM, "perfLoggingPrefs": {"enableNetwork": True}}
        logs = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {"browserName": "chrome", **logs}}})
        self.session = f"/session/{session['sessionId']}"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with self.opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        for kind in ("browser", "performance"):
            self.log(kind)  # what came before
        self.call("POST", f"{self.session}/url", {"url": path.as_uri()})

    def resize(self, width: int) -> None:
        self.call("POST", f"{self.session}/window/rect", {"width": width, "height": 900})

    def log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.call("POST", f"{self.session}/se/log", {"type": kind})
        return entries

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        messages = (json.loads(entry["message"])["message"] for entry in self.log("performance"))
        sent = (m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent")
        return [url for url in sent if not url.startswith(("data:", "blob:", "chrome:"))]

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that ``script`` returns."""
        return self.call("POST", f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def put(self, selector: str, value: str) -> None:
        """Type or choose ``value`` and leave the control."""
        change = "const node = document.querySelector(arguments[0]); node.value = arguments[1];"
        events = "for (const name of ['input', 'change']) node.dispatchEvent(new Event(name, {bubbles: true}))"
        self.run(change + events, selector, value)

    def wait_for(self, script: str) -> None:
        """Wait until ``script`` returns true."""
        deadline = time.monotonic() + 30
        while not self.run(script):
            assert time.monotonic() < deadline, f"still not true: {script}"
            time.sleep(0.05)

    def see_parallel(self) -> None:
        """Scroll to the parallel coordinates, and wait until they are drawn, as they are only when they are seen."""
        self.run("document.getElementById('parallel').scrollIntoView({behavior: 'instant'})")
        self.wait_for("return Boolean(document.getElementById('parallel-figure').data)")

    def texts(self, selector: str) -> list[str]:
        return list(self.run("return [...document.querySelectorAll(arguments[0])].map(n => n.textContent)", selector))

    def column(self, number: int) -> list[str]:
        """Texts of a column of the table, the first is 1."""
        return self.texts(f"#runs tbody tr > :nth-child({number})")

    def close(self) -> None:
        self.call("DELETE", self.session)
        self.driver.terminate()
        self.driver.wait()
