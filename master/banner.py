"""What a person sees when the server has started."""

from penstock import __version__
from penstock.master.config.bind import FdBind, UnixBind
from penstock.master.config.model import Config
from penstock.master.holdings import Holdings
from penstock.master.reloader.plan import WatchPlan

WELCOME_APP = "penstock.worker.welcome:app"


def banner(config: Config, holdings: Holdings, slot_count: int, watched: WatchPlan | None = None) -> str:
    """Say where it listens and what to try next."""
    urls = [_url(config, holdings, key) for key in holdings.listeners]
    workers = "1 worker" if slot_count == 1 else f"{slot_count} workers"
    lines = [f"Penstock {__version__}: {workers}, listening on {', '.join(urls)}"]
    if holdings.admin is not None:
        lines.append(f"  admin page, /metrics and /status   http://{holdings.admin.shown_address}")
    if config.listeners[0].routes[0].app == WELCOME_APP:
        lines += [
            f"  try                                curl {urls[0]}/whoami",
            "  serve your own app                 penstock main:app",
        ]
    lines.append("  see it run                         penstock status")
    if watched is not None:
        lines += _reloading(config, watched)
    return "\n".join(lines)


def _reloading(config: Config, watched: WatchPlan) -> list[str]:
    """Say what a change is, and that this is no way to run in production."""
    what = f"{', '.join(watched.includes)} below {', '.join(watched.roots)}"
    lines = [f"  reloads on a change (development)  {what}, by {watched.how}"]
    if watched.files:
        lines.append(f"                                     {', '.join(watched.files)}")
    if config.preload:
        lines.append("                                     by a hot restart, because of preload")
    return lines


def _url(config: Config, holdings: Holdings, key: str) -> str:
    listener = holdings.listeners[key]
    if isinstance(listener.address, UnixBind | FdBind):
        return listener.shown_address
    is_tls = any(str(each.address) == key and each.tls is not None for each in config.listeners)
    return f"{'https' if is_tls else 'http'}://{listener.shown_address}"
