"""What a user installs: the wheel has every module, and leaves the user's own names alone."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shm.twins import can_build

pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parent.parent
NATIVE = (ROOT / "shm" / "native", ROOT / "worker" / "gateway" / "native")
EXTENSIONS = ["penstock/shm/_native", "penstock/worker/gateway/_relay"]
FOLDERS = ("master", "worker", "shm")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what git knows, as a release would be made of."""
    source = tmp_path_factory.mktemp("source")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, files):
        original, copy = ROOT / name, source / name
        if not original.exists() and not original.is_symlink():
            continue  # Deleted, and not committed yet.
        copy.parent.mkdir(parents=True, exist_ok=True)
        if original.is_symlink():
            copy.symlink_to(original.readlink())
        else:
            copy.write_bytes(original.read_bytes())
    return source


def build(source: Path, out: Path, *options: str, **environ: str) -> Path:
    """Build a wheel; give where it is."""
    subprocess.run(
        [sys.executable, "-m", "build", *options, "--outdir", str(out), str(source)],
        env=os.environ | environ,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `python -m build` does it: from the source archive that it makes first."""
    return build(source, tmp_path_factory.mktemp("dist"))


def extensions(wheel: Path) -> list[str]:
    """List what is compiled in a wheel."""
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


def modules() -> Iterator[str]:
    """List the files that the wheel must have."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".html", ".css", ".js", ".pyi"} and "__pycache__" not in path.parts:
                yield f"penstock/{path.relative_to(ROOT)}"


@pytest.mark.timeout(300)
def test_wheel_has_every_module_and_page(wheel: Path) -> None:
    """
    A package that setuptools overlooked would be missing without a word.
    """
    names = set(zipfile.ZipFile(wheel).namelist())

    assert set(modules()) <= names
    assert {"penstock/__init__.py", "penstock/__main__.py", "penstock/py.typed"} <= names
    assert not [name for name in names if name.split("/")[0] in {*FOLDERS, "tests", "loadtest"}]


@pytest.mark.timeout(300)
def test_extension_is_built_from_the_source_archive(wheel: Path) -> None:
    """
    Who installs that has the C file, and nothing compiled here; who installs the wheel needs no compiler.
    """
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}

    assert {f"penstock/{each.relative_to(ROOT)}" for folder in NATIVE for each in folder.iterdir()} <= names
    assert not [name for name in names if name.endswith((".so", ".o"))]
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".c")]
    built = [name.partition(".")[0] for name in extensions(wheel)]
    assert built == (EXTENSIONS if can_build() else [])


@pytest.mark.timeout(300)
def test_without_a_compiler_there_is_a_wheel_without_the_extension(source: Path, tmp_path: Path) -> None:
    """
    It is optional: a slim container installs Penstock all the same.
    """
    wheel = build(source, tmp_path, "--wheel", CC="/nowhere/cc")

    assert extensions(wheel) == []
    assert set(modules()) <= set(zipfile.ZipFile(wheel).namelist())


def test_folders_are_linked_into_the_package() -> None:
    """
    The links are what makes the folders importable from a checkout.
    """
    for folder in FOLDERS:
        link = ROOT / "penstock" / folder
        assert link.is_symlink()
        assert link.readlink() == Path("..") / folder


@pytest.mark.timeout(300)
def test_installed_command_finds_the_users_own_worker_module(wheel: Path, tmp_path: Path) -> None:
    """
    `penstock worker:app` means the user's worker.py, however we call our folders.
    """
    home = tmp_path / "venv"
    # The dependencies are those of the running interpreter; only Penstock itself comes from the wheel.
    venv.create(home, with_pip=True, symlinks=True)
    python = home / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True, capture_output=True
    )
    site_packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    (link,) = (home / "lib").glob("python*/site-packages")
    (link / "dependencies.pth").write_text(f"{site_packages}\n")
    (tmp_path / "worker.py").write_text(
        "async def app(scope, receive, send):\n    print('hello')\nMINE = True\n"
    )

    result = subprocess.run(
        [home / "bin" / "penstock", "check", "worker:app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr + result.stdout
    located = subprocess.run(
        [python, "-c", "import penstock.worker as w; print(w.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(home) in located
