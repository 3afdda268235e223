"""
The task of a request, which starts as early as this Python lets it.
"""

import asyncio
import sys
from functools import partial

# A name of its own for every task would be formatted and thrown away.
TASK_NAME = "request"

if sys.version_info >= (3, 12):
    # Runs until it first waits, at once: a quick app needs no turn of the loop.
    Task = partial(asyncio.Task, eager_start=True)
else:
    Task = asyncio.Task
