"""docs/configuration.md tells of everything that there is, and of nothing else."""

import re
from pathlib import Path

import pytest

from penstock.master.config import ConfigError, Invocation
from penstock.master.config.options import OPTIONS
from penstock.master.config.schema import config_schema

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_documented(option: object) -> None:
    """
    With each of its spellings.
    """
    for flag in (*option.flags, *option.off):  # type: ignore[attr-defined]
        assert re.search(rf"`{re.escape(flag)}`", PAGE), flag


def test_every_key_is_documented() -> None:
    """
    In a table, by its name or the end of its path.
    """
    for name, part in config_schema()["$defs"].items():
        for key in part.get("properties", {}):
            if key in {"match", "respond"}:
                continue  # By their own keys.
            assert re.search(rf"`(\w+(\[\])?\.)*{key}`", PAGE), f"{name}.{key}"


def test_the_options_that_are_documented_exist() -> None:
    """
    The control: a name in the docs that nothing answers to.
    """
    known = {flag for option in OPTIONS for flag in (*option.flags, *option.off)}
    known |= {"--version", "-v", "--help", "-h", "--check-config", "--json", "--loop", "-k", "--daemon", "-"}

    assert set(re.findall(r"`(--?[a-z-]*)[ `]", PAGE)) <= known


def test_the_files_that_are_shown_can_be_loaded(tmp_path: Path) -> None:
    """
    People paste them.
    """
    shown = [each for each in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "listeners" in each]
    assert shown
    for text in shown:
        (tmp_path / "p.yaml").write_text(text)
        assert Invocation({"config": (str(tmp_path / "p.yaml"),)}).read({}).warnings == ()


def test_the_mistakes_that_are_shown_are_told_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A message that is reworded is reworded there too.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    (tmp_path / "penstock.yaml").write_text(
        "wrokers: 4\ndrain_timeout: 30\nlisteners:\n  - bind: :80\n    routes:\n"
        "      - app: main:app\n        match: {methods: [get]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        Invocation({"config": ("penstock.yaml",)}).load({})

    shown = re.search(r"\$ penstock check -c penstock.yaml\n(penstock.yaml.*?)penstock: 3", PAGE, re.DOTALL)
    assert shown is not None
    assert re.sub(r"\n(?!penstock)", " ", shown[1]).strip() == str(caught.value)
