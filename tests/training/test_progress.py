"""The bar of ``verbose=2``."""

import io
import re

import numpy as np
import pytest
import rich

from robustxai import VanillaClassifier


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 4)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(int)


@pytest.fixture
def screen(monkeypatch):
    """What a terminal would get."""
    written = io.StringIO()
    monkeypatch.setattr(rich, "_console", rich.console.Console(file=written, force_terminal=True, width=120))
    return written


def test_it_counts_every_step_and_shows_the_time_left(data, screen):
    VanillaClassifier(max_epochs=3, batch_size=16, verbose=2).fit(*data)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "epoch 3 of 3, loss" in text
    assert "12/12" in text
    assert "spent" in text
    assert "left" in text


def test_an_error_leaves_no_live_bar_behind(data, screen):
    clf = VanillaClassifier(max_epochs=3, batch_size=16, verbose=2, lr=1e30)
    with pytest.raises(Exception, match="diverged"):
        clf.fit(*data)
    assert screen.getvalue().endswith("\n") or "\x1b[?25h" in screen.getvalue()  # the cursor is shown again
    VanillaClassifier(max_epochs=1, verbose=2).fit(*data)  # rich refuses a second live display


@pytest.mark.parametrize("verbose", [0, 1])
def test_it_is_for_those_who_ask(data, screen, verbose, capsys):
    VanillaClassifier(max_epochs=1, verbose=verbose).fit(*data)
    assert screen.getvalue() == ""
    assert bool(capsys.readouterr().out) is bool(verbose)
