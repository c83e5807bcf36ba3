import pytest

from tests.plots import plt as plt


@pytest.fixture(autouse=True)
def no_screen(plt):
    """Every test here draws."""
