"""`make demo`: three servers and the gateway of etc/gateway.yaml before them, until Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PENSTOCK = [sys.executable, "-m", "penstock"]
BACKENDS = (("stable-1", "1", 9001), ("stable-2", "1", 9002), ("canary", "2", 9003))

STORY = """
  http://127.0.0.1:8000/            a page that shows who answers
  curl 127.0.0.1:8000/api/hello     one of two servers, one time in ten the canary
  curl 127.0.0.1:8000/shop/         an app in the gateway itself
  curl 127.0.0.1:9001/ill           make a server ill; /well makes it well again
  penstock status --control {control}
  Ctrl-C ends all of it.
"""


def backend(name: str, version: str, port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a server."""
    words = [*PENSTOCK, "backend:app", "--port", str(port), "--workers", "1", "--admin-bind", "none"]
    words += ["--log-level", "warning", "--control", str(folder / f"{name}.sock")]
    environ = {**os.environ, "DEMO_NAME": name, "DEMO_VERSION": version}
    return subprocess.Popen(words, cwd=ROOT / "etc" / "demo", env=environ, stdout=subprocess.DEVNULL)


def main() -> int:
    """Run all until one ends or somebody has had enough."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp")) / f"penstock-demo-{os.getpid()}"
    folder.mkdir(mode=0o700)
    control = folder / "gateway.sock"
    running = []
    try:
        running = [backend(*each, folder) for each in BACKENDS]
        words = [*PENSTOCK, "-c", "etc/gateway.yaml", "--control", str(control), *sys.argv[1:]]
        running.append(subprocess.Popen(words, cwd=ROOT))
        print(STORY.format(control=control), flush=True)
        while all(each.poll() is None for each in running):
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        # The gateway first: nobody is to see servers that are gone.
        for each in reversed(running):
            each.send_signal(signal.SIGTERM)
            each.wait()
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
    return max((each.returncode for each in running), default=0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
