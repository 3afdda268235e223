"""Memory that is given back to the kernel."""

import subprocess
import sys

# Blocks of the C library's, freed but for the last one, which holds up the end of the heap.
SCRIPT = """
import ctypes
import os
from pathlib import Path
from penstock.worker.heap import give_back

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [libc.malloc(2000) for _ in range(20_000)]
for block in blocks:
    ctypes.memset(block, 1, 2000)
for block in blocks[:-1]:
    libc.free(block)
full = resident_bytes()
give_back()
print(full - resident_bytes())
"""


def test_a_burst_does_not_stay_for_ever() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert int(result.stdout) > 30_000_000
