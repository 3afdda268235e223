"""
Clients that come without a pause, and remember every request that was not answered.
"""

import asyncio
import threading
from collections import Counter
from types import TracebackType

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
TIMEOUT_S = 15.0


class OneShotClients:
    """
    Connects, asks, reads and closes at a fixed rate, in a thread of its own.

    `outcomes` counts "200" and every way in which it was something else.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.outcomes: Counter[str] = Counter()

    def __enter__(self) -> "OneShotClients":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        next_s = loop.time()
        while not self._stop.is_set():
            task = loop.create_task(self._ask())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            next_s += 1 / self._rate
            await asyncio.sleep(max(0.0, next_s - loop.time()))
        await asyncio.gather(*tasks)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(REQUEST)
                answer = await reader.read()
                writer.close()
        except TimeoutError:
            self.outcomes["timeout"] += 1
        except OSError as error:
            self.outcomes[type(error).__name__] += 1
        else:
            self.outcomes[answer[9:12].decode() if answer else "empty"] += 1
