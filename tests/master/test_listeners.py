"""Real sockets: who gets a connection, what is refused and why, and what is left behind."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvloop

from penstock.master.config import activation
from penstock.master.config.bind import FdBind, TcpBind, UnixBind, parse_bind
from penstock.master.config.listener import Keepalive, Tcp
from penstock.master.listeners import Listener, ListenError, add_shards, is_socket_alive, open_listener
from penstock.worker.shards import queued_connections

ANY_PORT = TcpBind("127.0.0.1", 0)


@contextmanager
def opened(
    bind: TcpBind | UnixBind | FdBind,
    shard_count: int = 4,
    *,
    unix_mode: int | None = None,
    tcp: Tcp | None = None,
) -> Iterator[Listener]:
    listener = open_listener("web", bind, shard_count=shard_count, backlog=256, unix_mode=unix_mode, tcp=tcp)
    try:
        yield listener
    finally:
        listener.close()


@contextmanager
def connected(listener: Listener, count: int, host: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    port = listener.shards[0].getsockname()[1]
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((host, port), timeout=10)) for _ in range(count)]


def accept_all(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 (the listing's own descriptor would show in both)


def run_python(code: str, *arguments: str) -> str:
    """Run a script in a process of its own and give what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


# The group.


def test_connections_are_shared_among_the_shards() -> None:
    """The first was bound without SO_REUSEPORT, and takes its part all the same."""
    with opened(ANY_PORT) as listener, connected(listener, 160):
        queued = [queued_connections(shard) for shard in listener.shards]
        assert sum(queued) == 160
        # Forty each, give or take; ten is five deviations away.
        assert min(queued) >= 10


def test_all_shards_have_one_port() -> None:
    """With port 0 the kernel chooses once, and what is shown is what it chose."""
    with opened(ANY_PORT, 8) as listener:
        ports = {shard.getsockname()[1] for shard in listener.shards}
        assert len(listener.shards) == 8
        assert ports == {int(listener.shown_address.rpartition(":")[2])}
        assert listener.key == "127.0.0.1:0"
        assert not listener.is_shared


def test_no_shard_is_inherited_by_accident_or_blocks() -> None:
    with opened(ANY_PORT) as listener:
        assert not any(shard.get_inheritable() or shard.getblocking() for shard in listener.shards)


def test_closing_a_duplicate_loses_no_connection_that_waits() -> None:
    """What a worker holds is a duplicate: its end must not be the end of the queue."""
    with opened(ANY_PORT) as listener, connected(listener, 40):
        for shard in listener.shards:
            first_worker = shard.dup()
            first_worker.close()
        accepted = 0
        for shard in listener.shards:
            with shard.dup() as second_worker:
                accepted += accept_all(second_worker)
        assert accepted == 40


def test_a_group_grows_and_never_shrinks() -> None:
    """Closing a shard would throw its queue away."""
    with opened(ANY_PORT, 2) as listener:
        first = list(listener.shards)
        add_shards(listener, 6)
        add_shards(listener, 3)
        assert len(listener.shards) == 6
        assert listener.shards[:2] == first
        with connected(listener, 120):
            assert all(queued_connections(shard) > 0 for shard in listener.shards)


def test_a_socket_file_does_not_grow(tmp_path: Path) -> None:
    with opened(UnixBind(str(tmp_path / "s"))) as listener:
        add_shards(listener, 8)
        assert len(listener.shards) == 1
        assert listener.is_shared


# Addresses.


def test_the_ipv6_wildcard_serves_both_families() -> None:
    with opened(TcpBind("::", 0)) as listener, connected(listener, 3), connected(listener, 3, host="::1"):
        assert sum(queued_connections(shard) for shard in listener.shards) == 6
        add_shards(listener, 5)
        assert len(listener.shards) == 5


def test_another_ipv6_address_serves_only_itself() -> None:
    with opened(TcpBind("::1", 0)) as listener, connected(listener, 1, host="::1"):
        assert listener.shown_address.startswith("[::1]:")
        assert all(shard.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) for shard in listener.shards)


def test_a_name_means_its_ipv4_address_first() -> None:
    with opened(TcpBind("localhost", 0)) as listener:
        assert listener.shards[0].getsockname()[0] == "127.0.0.1"


# Refusals.


def test_an_address_in_use_names_who_uses_it() -> None:
    """SO_REUSEPORT alone would let a second master of the same user join in silence."""
    with opened(ANY_PORT) as listener:
        taken = parse_bind(listener.shown_address)
        before = open_fds()
        with pytest.raises(ListenError, match=rf"the address is in use by .+ \(pid {os.getpid()}\)"):
            open_listener("web", taken, shard_count=4, backlog=256)
        assert open_fds() == before


def test_an_address_that_was_closed_is_free_at_once() -> None:
    """Also while connections to it are in TIME_WAIT."""
    with opened(ANY_PORT) as listener, connected(listener, 4):
        address = parse_bind(listener.shown_address)
        for shard in listener.shards:
            accept_all(shard)
    with opened(address) as again:
        assert again.shown_address == str(address)


@pytest.mark.parametrize(
    ("bind", "why"),
    [
        (TcpBind("203.0.113.7", 0), "no interface of this machine has this address"),
        (TcpBind("a" * 64 + ".example", 80), "no such host: a"),
        (UnixBind("/nonexistent/s"), "its folder does not exist"),
        (UnixBind("/dev/null/s"), "its folder does not exist"),
        (UnixBind("/dev/null"), "the path exists and is not a socket"),
        (FdBind(1_000_000), "descriptor 1000000 is not open"),
    ],
)
def test_what_cannot_be_listened_on_says_why(bind: TcpBind | UnixBind | FdBind, why: str) -> None:
    with pytest.raises(ListenError, match=why) as caught:
        open_listener("web", bind, shard_count=2, backlog=16)
    assert str(caught.value).startswith(f"cannot listen on {bind}: ")


def test_a_low_port_without_permission_says_what_is_needed() -> None:
    """The operator's first `--port 80`."""
    first_free = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    said = run_python(
        """
        import os, sys
        from penstock.master.config.bind import parse_bind
        from penstock.master.listeners import ListenError, open_listener

        "host".encode("idna")  # Python loads this late, and nobody may not be let to its files.
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            open_listener("web", parse_bind(sys.argv[1]), shard_count=2, backlog=16)
        except ListenError as error:
            print(error)
        """,
        f"127.0.0.1:{min(max(first_free - 1, 1), 1023)}",
    )
    # Some containers let everyone have every port; then there is nothing to refuse.
    assert ("a port below 1024 needs root or CAP_NET_BIND_SERVICE" in said) == (first_free > 1)


# Socket files.


def test_a_socket_file_has_its_permissions_before_anyone_can_connect(tmp_path: Path) -> None:
    """Between bind and listen a client is refused, so nobody gets in under the umask's permissions."""
    path = tmp_path / "s"
    said = run_python(
        """
        import os, socket, sys
        from penstock.master.config.bind import UnixBind
        from penstock.master.listeners import open_listener

        path = sys.argv[1]

        def watch(event, arguments):
            if event in ("os.chmod", "os.chown"):
                try:
                    socket.socket(socket.AF_UNIX).connect(path)
                except ConnectionRefusedError:
                    print(event, "while it does not listen")

        os.umask(0)
        sys.addaudithook(watch)
        owner = (os.getuid(), os.getgid())
        listener = open_listener(
            "web", UnixBind(path), shard_count=1, backlog=16, unix_mode=0o640, owner=owner
        )
        print(oct(os.stat(path).st_mode & 0o777))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        listener.close()
        print(os.path.exists(path))
        """,
        str(path),
    )
    assert said.splitlines() == [
        "os.chmod while it does not listen",
        "os.chown while it does not listen",
        "0o640",
        "False",
    ]


def test_a_socket_file_that_cannot_be_given_away_is_not_left_behind(open_folder: Path) -> None:
    open_folder.chmod(0o777)
    said = run_python(
        """
        import os, sys
        from penstock.master.config.bind import UnixBind
        from penstock.master.listeners import ListenError, open_listener

        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            open_listener("web", UnixBind(sys.argv[1]), shard_count=1, backlog=16, owner=(0, 0))
        except ListenError as error:
            print(error)
        """,
        str(open_folder / "s"),
    )
    assert said.endswith("Operation not permitted")
    assert list(open_folder.iterdir()) == []


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    """A master that was killed leaves one; the next start must not need a hand."""
    bind = UnixBind(str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(bind.path)
        crashed.listen()
    assert not is_socket_alive(bind)

    with opened(bind, unix_mode=0o600), socket.socket(socket.AF_UNIX) as client:
        client.connect(bind.path)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_a_socket_file_in_use_is_refused(tmp_path: Path, kind: socket.SocketKind) -> None:
    """Of whatever type: removing it would cut off somebody who runs."""
    bind = UnixBind(str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(bind.path)
        if kind is not socket.SOCK_DGRAM:
            other.listen()
        with pytest.raises(ListenError, match="another process listens there"):
            open_listener("web", bind, shard_count=1, backlog=16)
    assert Path(bind.path).exists()


def test_a_file_that_is_no_socket_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="not a socket"):
        open_listener("web", UnixBind(str(path)), shard_count=1, backlog=16)
    assert path.read_text() == "data"


def test_closing_leaves_a_successors_socket_file_alone(tmp_path: Path) -> None:
    """Somebody removed ours and listens there now."""
    path = tmp_path / "s"
    listener = open_listener("web", UnixBind(str(path)), shard_count=1, backlog=16)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        successor.listen()
        listener.close()
        assert path.exists()


# Inherited descriptors.


def test_an_inherited_socket_is_listened_on() -> None:
    """As systemd passes it: bound and listening, or only bound."""
    for is_listening in (True, False):
        with socket.socket() as inherited:
            inherited.bind(("127.0.0.1", 0))
            if is_listening:
                inherited.listen()
            with opened(FdBind(inherited.fileno()), 8) as listener, connected(listener, 1):
                assert len(listener.shards) == 1
                assert listener.is_shared
                assert listener.shown_address == f"127.0.0.1:{inherited.getsockname()[1]}"
                assert accept_all(listener.shards[0]) == 1
            assert inherited.getsockname()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("", "cannot listen on fd:web: the service manager has passed no socket of this name$"),
        ("api:admin", "no socket of this name, but of these: admin, api$"),
        ("web:web", "2 sockets have this name: fd:3, fd:4; give each another$"),
    ],
)
def test_a_name_has_to_be_that_of_one_socket(monkeypatch: pytest.MonkeyPatch, names: str, why: str) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2" if names else "")
    monkeypatch.setenv("LISTEN_FDNAMES", names)
    monkeypatch.setenv(activation.VARIABLE, "")  # Taken back at the end, with what it is claimed to be.
    monkeypatch.setenv(activation.NAMES_VARIABLE, "")
    activation.claim_sockets(os.environ)
    with pytest.raises(ListenError, match=why):
        open_listener("web", FdBind("web"), shard_count=1, backlog=16)


def test_a_descriptor_that_cannot_be_listened_on_says_why_and_leaks_nothing() -> None:
    read_fd, write_fd = os.pipe()
    datagram = socket.socket(type=socket.SOCK_DGRAM)
    one, other = socket.socketpair()
    before = open_fds()
    for fd, why in (
        (read_fd, "is not a socket"),
        (datagram.fileno(), "it is not a stream socket"),
        (one.fileno(), "it cannot listen: Invalid argument"),
    ):
        with pytest.raises(ListenError, match=why):
            open_listener("web", FdBind(fd), shard_count=1, backlog=16)
    assert open_fds() == before
    for sock in (datagram, one, other):
        sock.close()
    os.close(read_fd)
    os.close(write_fd)


# TCP options.

TUNED = Tcp(defer_accept_s=3.0, fastopen=16, keepalive=Keepalive(idle_s=100.0, interval_s=7.0, count=3))
PLAIN = Tcp(keepalive=None)

# NODELAY, DEFER_ACCEPT, FASTOPEN, KEEPALIVE; then idle, interval and count of its probes.
AS_TUNED = (1, 3, 16, 1, 100, 7, 3)


def options_of(sock: socket.socket) -> tuple[int, ...]:
    tcp = socket.IPPROTO_TCP
    has_probes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    probes = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT) if has_probes else ()
    return (
        *(
            sock.getsockopt(tcp, option)
            for option in (socket.TCP_NODELAY, socket.TCP_DEFER_ACCEPT, socket.TCP_FASTOPEN)
        ),
        has_probes,
        *(sock.getsockopt(tcp, option) for option in probes),
    )


def test_every_shard_has_the_options_also_those_that_come_later() -> None:
    """A client cannot choose its shard, so what one of them does all have to do."""
    with opened(ANY_PORT, 3, tcp=TUNED) as listener:
        add_shards(listener, 6)
        assert [options_of(shard) for shard in listener.shards] == [AS_TUNED] * 6


def test_options_change_on_sockets_that_stay() -> None:
    """A reload keeps the sockets, queues and all; there and back again, and then for what is added."""
    with opened(ANY_PORT, 2, tcp=Tcp()) as listener, connected(listener, 4):
        for tcp, expected in ((TUNED, AS_TUNED), (PLAIN, (1, 0, 0, 0)), (Tcp(), (1, 0, 0, 1, 90, 15, 4))):
            listener.retune(256, tcp)
            assert [options_of(shard) for shard in listener.shards] == [expected] * 2
        assert sum(accept_all(shard) for shard in listener.shards) == 4
        add_shards(listener, 4)
        assert options_of(listener.shards[-1]) == (1, 0, 0, 1, 90, 15, 4)


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_connections_inherit_them(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """So they cost no call for each connection. What the loop itself sets is no less than that."""

    class Noting(asyncio.Protocol):
        def __init__(self, accepted: asyncio.Future[tuple[int, ...]]) -> None:
            self.accepted = accepted

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.accepted.set_result(options_of(transport.get_extra_info("socket")))
            transport.close()

    async def accept_one(listener: Listener) -> tuple[int, ...]:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[tuple[int, ...]] = loop.create_future()
        server = await loop.create_server(
            lambda: Noting(accepted), sock=listener.shards[0].dup(), backlog=256
        )
        with socket.create_connection(listener.shards[0].getsockname()) as client:
            client.sendall(b"x")
            found = await asyncio.wait_for(accepted, 20)
        server.close()
        return found

    with opened(ANY_PORT, 1, tcp=TUNED) as listener, asyncio.Runner(loop_factory=new_loop) as runner:
        nodelay, _, _, *keepalive = runner.run(accept_one(listener))
        assert (nodelay, keepalive) == (1, [1, 100, 7, 3])


def test_a_deferred_connection_waits_outside_the_queue_until_it_speaks() -> None:
    """What the option is for, and why whoever empties the queue misses such a client."""
    with opened(ANY_PORT, 1, tcp=Tcp(defer_accept_s=60.0)) as listener, connected(listener, 1) as clients:
        assert accept_all(listener.shards[0]) == 0
        clients[0].sendall(b"GET")
        listener.shards[0].setblocking(True)
        listener.shards[0].settimeout(20)
        accepted = listener.shards[0].accept()[0]
        assert accepted.recv(3) == b"GET"
        accepted.close()


def test_an_inherited_socket_keeps_its_options_unless_others_are_written() -> None:
    """A socket unit of systemd may have set them, and whoever wrote it meant them."""
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        inherited.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 7)
        with opened(FdBind(inherited.fileno())) as listener:
            assert options_of(listener.shards[0]) == (0, 7, 0, 0)
            listener.retune(256, None)
            assert options_of(inherited) == (0, 7, 0, 0)
        with opened(FdBind(inherited.fileno()), tcp=TUNED):
            assert options_of(inherited) == AS_TUNED


def test_a_unix_socket_has_no_tcp_options(tmp_path: Path) -> None:
    """What is behind a descriptor is only known when it is there."""
    with opened(UnixBind(str(tmp_path / "s"))) as listener:
        listener.retune(16, None)
        with pytest.raises(ListenError, match="TCP options are given for it, and it is not a TCP socket"):
            open_listener("web", FdBind(listener.shards[0].fileno()), shard_count=1, backlog=16, tcp=TUNED)
