"""
What the master owns for as long as it runs, and hands over when it restarts hot.

The listening sockets, the shared segment, the lifeline, the pidfile. Opening
them in one place means that a failed start closes them in one place too.
"""

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from penstock.master.blueprint import Account
from penstock.master.config.bind import Bind, TcpBind, UnixBind
from penstock.master.config.model import Config
from penstock.master.config.tls import Tls
from penstock.master.listeners import Listener, ListenError, add_shards, is_socket_alive, open_listener
from penstock.master.pidfile import Pidfile, PidfileTaken
from penstock.master.tcp_options import does_kernel_fastopen
from penstock.shm.segment import Segment
from penstock.worker.logs import LOG
from penstock.worker.tls.context import leaf_of
from penstock.worker.tls.x509 import Certificate

# Ports to try after the default admin port, when nobody asked for it by name.
ADMIN_PORT_TRIES = 100


@dataclass
class Holdings:
    """The master's descriptors, and what they are."""

    segment: Segment
    lifeline: tuple[int, int]  # Children read it; only the master holds the other end, and never writes.
    listeners: dict[str, Listener] = field(default_factory=dict)  # by address as configured
    control: Listener | None = None
    admin: Listener | None = None
    pidfile: Pidfile | None = None
    stack_fds: dict[int, int] = field(default_factory=dict)  # by pid: where a worker writes what it is doing

    @property
    def worker_count_max(self) -> int:
        """As many workers as there are shards: one more would have nothing to accept on."""
        groups = [len(each.shards) for each in self.listeners.values() if not each.is_shared]
        rows = (self.segment.schema.row_count - 8) // 2
        return min((*groups, rows))

    def retire(self, row: int) -> None:
        """Take back the row of a process that was reaped, with all that it has counted."""
        self.segment.retire(row)
        if self.segment.ancestors and (lost := self.segment.bury()):
            LOG.error("no room for %d series of the segment before this one: their counts are lost", lost)

    def let_go(self) -> None:
        """Close, in a forked child, what is the master's alone; nothing is removed."""
        for listener in (*self.listeners.values(), self.control, self.admin):
            for shard in listener.shards if listener is not None else ():
                shard.close()
        os.close(self.lifeline[1])
        for fd in self.stack_fds.values():
            os.close(fd)
        if self.pidfile is not None:
            os.close(self.pidfile.fd)

    def drop_stack_file(self, pid: int) -> None:
        """Close the memory file of a worker that is gone."""
        fd = self.stack_fds.pop(pid, None)
        if fd is not None:
            os.close(fd)

    def close_listeners(self) -> None:
        """Stop listening on every configured address."""
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()

    def close(self) -> None:
        """Close everything, and remove the files that stood for it."""
        self.close_listeners()
        for listener in (self.control, self.admin):
            if listener is not None:
                listener.close()
        if self.pidfile is not None:
            self.pidfile.remove()
        os.close(self.lifeline[0])
        os.close(self.lifeline[1])
        for pid in list(self.stack_fds):
            self.drop_stack_file(pid)
        self.segment.close()


def shard_count_of(worker_count: int) -> int:
    """Shards for a listener: enough that a shard is a small unit of balance."""
    return max(4 * worker_count, 8)


def reconcile_listeners(
    held: dict[str, Listener], config: Config, shard_count: int, account: Account
) -> dict[str, Listener]:
    """
    Open what the config asks for beyond what is held, and return all that it asks for.

    Raises ListenError, and then nothing is open that was not. Grown groups stay grown.
    """
    opened: list[Listener] = []
    wanted: dict[str, Listener] = {}
    try:
        for each in config.listeners:
            listener = held.get(str(each.address))
            if listener is None:
                listener = open_listener(
                    each.name,
                    each.address,
                    shard_count=shard_count,
                    backlog=each.backlog,
                    tcp=each.tcp_options,
                    unix_mode=each.uds_permissions,
                    owner=(account.uid, account.gid),
                )
                opened.append(listener)
            else:
                listener.name = each.name
                add_shards(listener, shard_count)
            wanted[listener.key] = listener
    except ListenError:
        for listener in opened:
            listener.close()
        raise
    return wanted


def retune_listeners(held: dict[str, Listener], config: Config) -> None:
    """Give sockets that stay the options that the config has now; it can be called as often as one likes."""
    if not does_kernel_fastopen() and any(each.tcp and each.tcp.fastopen for each in config.listeners):
        LOG.warning("fastopen has no effect: the kernel allows it to clients only (net.ipv4.tcp_fastopen)")
    for each in config.listeners:
        listener = held[str(each.address)]
        listener.retune(each.backlog, each.tcp_options)
        listener.certificates = served_certificates(each.tls)


def served_certificates(tls: Tls | None) -> tuple[Certificate, ...]:
    """Read the certificates of a listener, each name once, with the one that ends first."""
    if tls is None:
        return ()
    by_name: dict[str, Certificate] = {}
    for pair in tls.certificates:
        try:
            leaf = leaf_of(pair.cert)
        except (OSError, ValueError):
            continue  # It was there a moment ago.
        if leaf.name not in by_name or leaf.not_after_s < by_name[leaf.name].not_after_s:
            by_name[leaf.name] = leaf
    return tuple(by_name.values())


def open_admin(config: Config) -> Listener | None:
    """Open the admin endpoint's TCP side, on the next free port if the default one is taken."""
    address = config.admin_address
    if address is None:
        return None
    if not config.admin_is_default or not isinstance(address, TcpBind):
        return _open_single("admin", address)
    for port in range(address.port, address.port + ADMIN_PORT_TRIES):
        try:
            listener = _open_single("admin", TcpBind(address.host, port))
        except ListenError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
                raise
            continue
        if port != address.port:
            LOG.warning("admin port %d is taken; the admin endpoint is on %s", address.port, listener.address)
        return listener
    raise ListenError(f"no free port for the admin endpoint from {address.port} on; give --admin-bind")


def open_control(path: Path, *, is_asked_for: bool) -> Listener:
    """
    Open the control socket, which only its owner may use. Raises ListenError.

    A default path that another master holds is no reason to fail: ours then gets
    our pid in its name.
    """
    if not is_asked_for:
        _make_private_folder(path.parent)
        if is_socket_alive(UnixBind(str(path))):
            path = path.with_name(f"{path.stem}-{os.getpid()}{path.suffix}")
    return _open_single("control", UnixBind(str(path)))


def open_pidfile(path: str) -> Pidfile:
    """Claim the pidfile. Raises ListenError, for to the operator it is one more address in use."""
    try:
        return Pidfile.claim(Path(path))
    except PidfileTaken as error:
        raise ListenError(f"pidfile: {error}") from error
    except OSError as error:
        raise ListenError(f"pidfile {path}: {error.strerror}") from error


def _open_single(name: str, address: Bind) -> Listener:
    return open_listener(name, address, shard_count=1, backlog=128, unix_mode=0o600)


def _make_private_folder(folder: Path) -> None:
    """Make the folder of the control socket; one in /tmp must be ours, or anyone could sit in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise ListenError(f"control socket: cannot make {folder}: {error.strerror}") from error
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ListenError(f"control socket: {folder} is not ours alone; give --control PATH")
