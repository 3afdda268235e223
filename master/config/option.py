"""What an option of the command line is: its names, its help, and the key that it sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.master.config.problems import Path


@dataclass(frozen=True, slots=True)
class Option:
    """
    One option. `path` is the key it sets; None: it is handled by name.

    `off` holds the flags that switch it off; an option with `off` or `is_flag`
    takes no value. `is_pairs`: each value is a name and what it is set to.
    `bare` is the value of one that may stand without any.
    `words` are other servers' words for its values, in lower case, of which
    the `approximate` ones mean something else there.
    """

    flags: tuple[str, ...]
    help: str
    group: str
    path: Path | None = None
    metavar: str = "TEXT"
    off: tuple[str, ...] = ()
    is_flag: bool = False
    is_repeatable: bool = False
    in_seconds: bool = False
    is_pairs: bool = False
    bare: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    approximate: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name in PENSTOCK_<NAME> and among the given options."""
        return self.flags[0].removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"PENSTOCK_{self.name.upper()}"

    @property
    def is_switch(self) -> bool:
        """True when it takes no value."""
        return self.is_flag or bool(self.off)
