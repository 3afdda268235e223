"""Tell what becomes of a `membarrier` here: registered, in force, known to the kernel, also of a child."""

import os
import platform

from penstock.shm import fence

here = fence.Membarrier(fence._NUMBERS.get(platform.machine()))
if not here.is_supported:
    assert (here.register(), here.fence()) == (False, False)
    print("unsupported", flush=True)
else:
    assert here.is_registered() in (False, None)
    print("supported", here.register(), here.fence(), here.is_registered() in (True, None), flush=True)
    pid = os.fork()
    if pid == 0:
        print(here.is_registered() in (True, None), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
