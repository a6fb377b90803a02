"""Pages in a real browser: a script walks through one, and what it found and what the console said comes back."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
    "--enable-logging=stderr",
    "--dump-dom",
)
# Errors are collected from the page's first line on.
LISTEN = """<script>
window.saidErrors = [];
window.addEventListener("error", event => window.saidErrors.push(event.message));
window.addEventListener("unhandledrejection", event => window.saidErrors.push(String(event.reason)));
const sayError = console.error;
console.error = (...words) => { window.saidErrors.push(words.join(" ")); sayError(...words); };
</script>"""
WALK = """<script>
(async () => {
  const rest = () => new Promise(done => setTimeout(done, 100));
  let found = null;
  try { await rest(); found = await (%s)(rest); } catch (error) { window.saidErrors.push(String(error)); }
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = btoa(unescape(encodeURIComponent(JSON.stringify({found, errors: window.saidErrors}))));
  document.body.appendChild(told);
})();
</script>"""


def browser() -> str:
    """A browser's program. Skips where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    return found


def walk(page: Path, script: str, directory: Path) -> tuple[Any, list[str]]:
    """What `script`, an async function of a pause, returns on `page`; and every error that page or console told.

    A copy in `directory` is opened, with no network behind it that would answer.
    """
    text = page.read_text(encoding="utf-8")
    copy = directory / "walked.html"
    head, tail = text.index("<head>") + len("<head>"), text.rindex("</body>")
    copy.write_text(text[:head] + LISTEN + text[head:tail] + WALK % script + text[tail:], encoding="utf-8")
    offline = ("--proxy-server=http://127.0.0.1:9", f"--user-data-dir={directory / 'profile'}")
    done = subprocess.run(
        [browser(), *FLAGS, *offline, copy.absolute().as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    told = re.findall(r'<pre id="told">([^<]*)</pre>', done.stdout)
    assert told, done.stderr[-2000:]
    answer = json.loads(base64.b64decode(told[-1]))
    console = [line for line in done.stderr.splitlines() if re.search(r"ERROR:CONSOLE|Uncaught", line)]
    return answer["found"], [*answer["errors"], *console]
