"""Names that /etc/hosts knows."""

from pathlib import Path

from penstock.master.resolving.hosts import HostsFile, names_in


def test_names_come_after_addresses() -> None:
    """
    Several on a line, in any case, and none in a comment.
    """
    text = (
        b"127.0.0.1 localhost\n\n10.0.0.1\tShop.Test shop # other.test\n# 10.0.0.2 gone.test\n10.0.0.3\n\xff"
    )
    assert names_in(text) == {"localhost", "shop.test", "shop"}


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    """
    Without a restart; and without a file only this machine is known.
    """
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert not hosts.knows("shop.test")
    assert hosts.knows("localhost")
    assert hosts.knows("x.localhost.")
    path.write_text("10.0.0.1 shop.test\n")
    assert hosts.knows("SHOP.test")
    path.write_text("10.0.0.1 other.test\n# longer\n")
    assert not hosts.knows("shop.test")
    path.unlink()
    assert not hosts.knows("other.test")
