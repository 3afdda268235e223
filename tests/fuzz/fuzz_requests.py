"""
Coverage-guided fuzzing of all that reads requests: `make fuzz SECONDS=60`.

It starts from the corpus of the tests. An input that breaks a rule is written to a file, and stays
there for a test to be made of it.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["penstock.worker.http"]):
    from tests.fuzz.judging import judge
    from tests.fuzz.memory import MemorySite

from tests.worker.http.corpus import bounds, fields, framing, request_lines, sequences

WORDS = Path(__file__).parent / "requests.dict"
# Of what is longer there is nothing more to learn.
INPUT_BYTES_MAX = 1024


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    memory = MemorySite()
    cases = [*request_lines.CASES, *fields.CASES, *framing.CASES, *sequences.CASES, *bounds.CASES]
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases):
            if len(case.data) <= INPUT_BYTES_MAX:
                (Path(folder) / str(number)).write_bytes(case.data)
        options = [f"-max_len={INPUT_BYTES_MAX}", f"-dict={WORDS}", "-timeout=10"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], lambda data: judge(memory, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
