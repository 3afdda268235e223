"""
Starts the task of a request, as early as this Python can.
"""

import asyncio
import contextvars
import sys
from collections.abc import Coroutine

# A name of its own for every task would be formatted and thrown away.
TASK_NAME = "request"

if sys.version_info >= (3, 12):

    def start_task(
        coroutine: Coroutine[object, object, None],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> asyncio.Task[None]:
        """Run a task until it first waits; a quick app then needs no turn of the loop."""
        return asyncio.Task(coroutine, loop=loop, name=TASK_NAME, context=context, eager_start=True)

else:

    def start_task(
        coroutine: Coroutine[object, object, None],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> asyncio.Task[None]:
        """Run a task in the next turn of the loop."""
        return asyncio.Task(coroutine, loop=loop, name=TASK_NAME, context=context)
