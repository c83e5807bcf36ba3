"""What ``import robustxai`` costs beside what it stands on: at most 1.1 times, at the median of eleven.

``pytest tests/performance/test_import.py --benchmark-enable``.
"""

import subprocess
import sys

import pytest


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("names", ["torch, sklearn, skorch", "robustxai"])
def test_import(names, benchmark):
    code = f"import sys, {names}; print('skorch' in sys.modules and 'sklearn' in sys.modules)"

    def run():
        return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    if not benchmark.enabled:
        pytest.skip("a time, and every test imports the library")
    assert benchmark.pedantic(run, rounds=11, warmup_rounds=1).strip() == "True"
