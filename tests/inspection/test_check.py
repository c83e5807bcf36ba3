import sys

import pytest

from robustxai.inspection import StabilityCurveDisplay


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'robustxai\[plot\]'"):
        StabilityCurveDisplay.from_curves({"A": [1.0]}, [0.1], k=8)
