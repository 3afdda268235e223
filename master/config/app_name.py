"""How people name an app: `module:attribute`, and gunicorn's two shorter ways."""

import re

# What gunicorn looks for in a module, and Django has in its wsgi.py and asgi.py.
ATTRIBUTE = "application"

_CALLED = re.compile(r"([^():]+:[^():]+)\(\s*\)")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


def spelt_out(text: str) -> tuple[str, bool, str]:
    """
    Write an app as `module:attribute`; answers that, whether it is a factory, and what is to be said.

    >>> spelt_out("shop:create_app()")
    ('shop:create_app', True, '')
    >>> spelt_out("mysite.wsgi")[0]
    'mysite.wsgi:application'
    """
    called = _CALLED.fullmatch(text)
    if called is not None:
        return called[1], True, ""
    if _MODULE.fullmatch(text) and not text.endswith(".py"):
        whole = f"{text}:{ATTRIBUTE}"
        return whole, False, f"{text!r} is taken for {whole!r}, as gunicorn does"
    return text, False, ""
