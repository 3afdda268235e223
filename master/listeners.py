"""
The listening sockets, which the master makes once and keeps.

A TCP listener is a SO_REUSEPORT group of shards, each with an accept queue of
its own. As long as its address is configured no shard is closed, so no queue is
ever thrown away; workers get duplicates and come and go. UNIX sockets and
inherited descriptors are one shard, lent to every worker at once.
"""

import errno
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from penstock.master.config.activation import named_fds, socket_names
from penstock.master.config.bind import Bind, FdBind, TcpBind, UnixBind
from penstock.master.config.listener import Tcp
from penstock.master.tcp_options import is_tcp, set_tcp_options
from penstock.worker.logs import LOG
from penstock.worker.tls.x509 import Certificate


class ListenError(Exception):
    """The address cannot be listened on. Says why, and what to do about it."""


@dataclass
class Listener:
    """One configured address and its shards; an admin or control listener has a single one."""

    name: str
    address: Bind
    backlog: int
    shards: list[socket.socket] = field(default_factory=list)
    certificates: tuple[Certificate, ...] = ()  # those that are served there
    tcp: Tcp | None = None  # options of every shard; None: as the kernel, or who opened it, has them

    @property
    def key(self) -> str:
        """What makes two listeners the same across a reload: the address as it was written."""
        return str(self.address)

    @property
    def is_shared(self) -> bool:
        """Whether every worker accepts on the one shard there is."""
        return not isinstance(self.address, TcpBind)

    @property
    def shown_address(self) -> str:
        """The address with the port that the kernel chose, for people."""
        if isinstance(self.address, UnixBind) or not self.shards:
            return str(self.address)
        return _shown(self.shards[0])

    def close(self) -> None:
        """Close all shards, and remove the socket file if it is ours."""
        for shard in self.shards:
            if isinstance(self.address, UnixBind):
                _unlink_own(self.address, shard)
            shard.close()
        self.shards.clear()

    def retune(self, backlog: int, tcp: Tcp | None) -> None:
        """Take what a reload says to sockets that stay. Connections that were accepted keep theirs."""
        self.backlog, self.tcp = backlog, tcp
        try:
            for shard in self.shards:
                if tcp is not None:
                    set_tcp_options(shard, tcp)
        except OSError as error:
            LOG.error("%s: the kernel refuses a TCP option: %s", self.shown_address, error.strerror)


def open_listener(
    name: str,
    address: Bind,
    *,
    shard_count: int,
    backlog: int,
    tcp: Tcp | None = None,
    unix_mode: int | None = None,
    owner: tuple[int | None, int | None] = (None, None),
) -> Listener:
    """
    Bind an address and listen on all its shards. Raises ListenError.

    `unix_mode` and `owner` (uid, gid) are given to a UNIX socket's file before
    it listens, so nobody can connect under other permissions.
    """
    listener = Listener(name, address, backlog, tcp=tcp)
    try:
        if isinstance(address, TcpBind):
            _open_group(listener, address, shard_count)
        elif isinstance(address, UnixBind):
            listener.shards.append(_open_unix(address, backlog, unix_mode, owner))
        else:
            listener.shards.append(_open_inherited(address, backlog, tcp))
    except OSError as error:
        listener.close()
        raise ListenError(_explain(address, error)) from error
    except ListenError:
        listener.close()
        raise
    return listener


def add_shards(listener: Listener, shard_count: int) -> None:
    """Let a group grow to this many shards; it never shrinks. Raises ListenError."""
    if not isinstance(listener.address, TcpBind):
        return
    family, where = listener.shards[0].family, listener.shards[0].getsockname()
    added: list[socket.socket] = []
    try:
        for _ in range(shard_count - len(listener.shards)):
            added.append(_bound(family, where, is_joining=True))
            _listen(added[-1], listener)
    except OSError as error:
        for shard in added:
            shard.close()
        raise ListenError(_explain(listener.address, error)) from error
    listener.shards += added


def _open_group(listener: Listener, address: TcpBind, shard_count: int) -> None:
    family, where = _resolve(address)
    # The first is bound without SO_REUSEPORT: with it, an address in use would be shared silently.
    first = _bound(family, where, is_joining=False)
    listener.shards.append(first)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    for _ in range(shard_count - 1):
        listener.shards.append(_bound(family, first.getsockname(), is_joining=True))
    for shard in listener.shards:
        _listen(shard, listener)


def _listen(shard: socket.socket, listener: Listener) -> None:
    if listener.tcp is not None:
        # Before the first client can be there.
        set_tcp_options(shard, listener.tcp)
    shard.listen(listener.backlog)


def _bound(family: int, where: Any, *, is_joining: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_joining:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # The wildcard serves IPv4 as well; any other IPv6 address only itself.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where[0] != "::")
        sock.bind(where)
    except OSError:
        sock.close()
        raise
    return sock


def _resolve(address: TcpBind) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(
            address.host,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
        )
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"cannot listen on {address}: no such host: {address.host}") from error
    # A name such as localhost has several; IPv4 is what clients of a name expect first.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def _open_unix(
    address: UnixBind, backlog: int, mode: int | None, owner: tuple[int | None, int | None]
) -> socket.socket:
    remove_stale_socket(address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    is_bound = False
    try:
        sock.bind(address.path)
        is_bound = True
        if mode is not None:
            Path(address.path).chmod(mode)
        uid, gid = owner
        if uid is not None or gid is not None:
            os.chown(address.path, -1 if uid is None else uid, -1 if gid is None else gid)
        sock.listen(backlog)
    except OSError:
        sock.close()
        if is_bound:
            Path(address.path).unlink(missing_ok=True)
        raise
    return sock


def remove_stale_socket(address: UnixBind) -> None:
    """Remove a socket file that nobody listens on. Raises ListenError if there is anything else."""
    try:
        status = Path(address.path).lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenError(_explain(address, error)) from error
    if not stat.S_ISSOCK(status.st_mode):
        raise ListenError(f"cannot listen on {address}: the path exists and is not a socket")
    if is_socket_alive(address):
        raise ListenError(f"cannot listen on {address}: another process listens there")
    Path(address.path).unlink()


def is_socket_alive(address: UnixBind) -> bool:
    """Whether somebody listens on the socket file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            # Its queue is full, it is of another type, or not for us: somebody's in any case.
            return True
    return True


def _number_of(name: str, start: str) -> int:
    """Find the one socket of this name. Raises ListenError."""
    fds = named_fds(os.environ, name)
    if len(fds) == 1:
        return fds[0]
    if fds:
        numbers = ", ".join(f"fd:{fd}" for fd in fds)
        raise ListenError(f"{start}{len(fds)} sockets have this name: {numbers}; give each another")
    names = ", ".join(socket_names(os.environ))
    raise ListenError(
        f"{start}the service manager has passed no socket of this name"
        + (f", but of these: {names}" if names else "")
    )


def _open_inherited(address: FdBind, backlog: int, tcp: Tcp | None) -> socket.socket:
    start = f"cannot listen on {address}: "
    number = address.fd if isinstance(address.fd, int) else _number_of(address.fd, start)
    try:
        fd = os.dup(number)
    except OSError as error:
        raise ListenError(f"{start}descriptor {number} is not open") from error
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        os.close(fd)
        raise ListenError(f"{start}descriptor {number} is not a socket") from error
    try:
        if sock.type != socket.SOCK_STREAM:
            raise ListenError(f"{start}it is not a stream socket")
        if tcp is not None:
            if not is_tcp(sock):
                raise ListenError(f"{start}TCP options are given for it, and it is not a TCP socket")
            set_tcp_options(sock, tcp)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(f"{start}it cannot listen: {error.strerror}") from error
    except ListenError:
        sock.close()
        raise
    return sock


def _unlink_own(address: UnixBind, sock: socket.socket) -> None:
    """Remove the socket file, unless another server has put its own there meanwhile."""
    if sock.fileno() == -1:
        return
    try:
        # The file's inode cannot be learned from the socket; nobody answering tells as much.
        sock.close()
        if not is_socket_alive(address):
            Path(address.path).unlink()
    except FileNotFoundError:
        pass


def _shown(sock: socket.socket) -> str:
    name = sock.getsockname()
    if isinstance(name, tuple):
        return str(TcpBind(name[0], name[1]))
    return f"unix:{name}"


def _explain(address: Bind, error: OSError) -> str:
    """Say what is wrong in words that the operator can act on."""
    start = f"cannot listen on {address}: "
    if error.errno == errno.EADDRINUSE:
        return start + "the address is in use" + _owner_of(address)
    if error.errno == errno.EACCES:
        if isinstance(address, TcpBind) and address.port < 1024:
            return start + "permission denied; a port below 1024 needs root or CAP_NET_BIND_SERVICE"
        return start + "permission denied"
    if error.errno == errno.EADDRNOTAVAIL:
        return start + "no interface of this machine has this address"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return start + "its folder does not exist"
    return start + (error.strerror or str(error))


def _owner_of(address: Bind) -> str:
    """Name the process that listens there, if we may see it."""
    if not isinstance(address, TcpBind):
        return ""
    try:
        found = (each for each in psutil.net_connections("tcp") if each.pid and _is_listening(each, address))
        holder = next(found, None)
        if holder is None:
            return ""
        owner = psutil.Process(holder.pid)
        # A server's children hold its sockets too; whom to speak to is their parent.
        while (parent := owner.parent()) and _listens(parent, address):
            owner = parent
        return f" by {owner.name()} (pid {owner.pid})"
    except (psutil.Error, OSError):
        return ""


def _listens(process: psutil.Process, address: TcpBind) -> bool:
    """Whether a process listens there; one that we may not look into is taken not to."""
    try:
        return any(_is_listening(each, address) for each in process.net_connections("tcp"))
    except (psutil.Error, OSError):
        return False


def _is_listening(connection: Any, address: TcpBind) -> bool:
    """Whether this is a listening socket that is in the address's way."""
    if (
        connection.status != psutil.CONN_LISTEN
        or not connection.laddr
        or connection.laddr.port != address.port
    ):
        return False
    hosts = {address.host, connection.laddr.ip}
    return len(hosts) == 1 or not hosts.isdisjoint({"0.0.0.0", "::"}) or not _is_number(address.host)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
