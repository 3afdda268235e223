"""
`${VAR}` and `${VAR:-default}` in a text, replaced from the environment.

Only in scalars that YAML has already parsed, so what a variable holds is never
read as structure.
"""

import re
from collections.abc import Mapping

from penstock.master.config.problems import Mismatch, nearest

# A variable that holds a whole file is a mistake, and would be copied around.
VALUE_CHARS_MAX = 64 * 1024

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^${}]*))?\}|\$\{")


def substituted(text: str, environ: Mapping[str, str]) -> str:
    """
    Replace the variables in a text; `$${` stands for `${` itself. Raises Mismatch.

    As in a shell, the default serves for a variable that is unset or empty.
    """

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if name is None:
            raise Mismatch("${NAME} or ${NAME:-default}; $${ stands for ${ itself")
        value = environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            raise Mismatch(
                f"the variable {name} to be set, or a default as in ${{{name}:-value}}",
                hint=nearest(name, environ) if len(name) > 3 else "",
            )
        if len(value) > VALUE_CHARS_MAX:
            raise Mismatch(f"a variable of at most {VALUE_CHARS_MAX} characters")
        return value

    return _VARIABLE.sub(replaced, text)
