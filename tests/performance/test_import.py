"""What ``import robustxai`` costs beside what it stands on: at most 1.1 times, at the median of eleven.

``pytest tests/performance/test_import.py --benchmark-enable``.
"""

import subprocess
import sys

import pytest


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("names", ["torch, sklearn, skorch", "robustxai"])
def test_import(names, benchmark):
    def run():
        subprocess.run([sys.executable, "-c", f"import {names}"], check=True)

    benchmark.pedantic(run, rounds=11 if benchmark.enabled else 1, warmup_rounds=1 if benchmark.enabled else 0)
    code = f"import sys, {names}; print('skorch' in sys.modules and 'sklearn' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "True"
