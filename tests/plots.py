"""matplotlib in tests."""

import pytest


@pytest.fixture
def plt():
    """pyplot without a screen; every test leaves it without figures."""
    matplotlib = pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
