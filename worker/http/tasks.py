"""
The task of a request, which starts as early as this Python lets it.
"""

import asyncio
import sys
from typing import Any

# A name of its own for every task would be formatted and thrown away.
TASK_NAME = "request"

# A task of Python 3.12 runs until it first waits, at once: a quick app needs no
# turn of the loop. (A `partial` with this option would gather its keywords twice.)
IS_EAGER = sys.version_info >= (3, 12)

# Untyped, since Python 3.11 does not know of `eager_start`.
Task: Any = asyncio.Task
