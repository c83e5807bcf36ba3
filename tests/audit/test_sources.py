import copy
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from robustxai import LinearClassifier, SoftplusClassifier
from robustxai.audit import _sources, audit, stability_sources
from robustxai.audit._sources import crossed_interval
from robustxai.explainers import SmoothGrad
from robustxai.perturbation import ThreatModel
from tests.audit.test_text import READER, Page

CHEAP = {"k": 2, "n_rows": 8, "n_fits": 2, "n_draws": 3}


@pytest.fixture(scope="module")
def numbers():
    r = np.random.default_rng(0)
    X = r.normal(size=(60, 4))
    return X, np.where(X[:, 0] - X[:, 1] * X[:, 2] > 0, "a", "b")


def test_every_source_of_a_pipeline_on_a_table(data, pipe, threat):
    X, y = data
    short = copy.deepcopy(pipe).set_params(softplusclassifier__max_epochs=4)
    found = stability_sources(short, X, y, threat=threat, **CHEAP)
    frame = found.frame.set_index("source")
    assert frame.index.tolist() == ["input", "seeds", "bootstrap", "sampling", "baseline"]
    assert math.isnan(frame.loc["sampling", "precision_at_k"])
    assert "does not sample" in frame.loc["sampling", "meaning"]
    known = frame.dropna()
    assert ((known["low"] >= 0) & (known["low"] <= known["precision_at_k"])).all()
    assert ((known["precision_at_k"] <= known["high"]) & (known["high"] <= 1)).all()
    assert found.values["bootstrap"].shape == (2, 8)
    assert found.values["baseline"].shape == (3, 8)
    read = Page(READER.render(found.to_markdown()))
    assert read.elements.count("tr") == 6
    assert found.figure().table["label"].tolist() == frame.index.tolist()
    assert repr(found).startswith("StabilitySources(P@2: input ")


def test_the_report_shows_them_where_they_are_asked_for(data, pipe, threat, monkeypatch):
    X, y = data
    given = []

    def record(model, rows, labels, **options):
        given.append((model, len(rows), len(labels), options["k"], options["threat"]))
        return stability_sources(model, rows, labels, **{**options, "n_fits": 0, "n_rows": 8, "n_draws": 2})

    monkeypatch.setattr(_sources, "stability_sources", record)
    asked = {"k": 2, "threat": threat, "n_rows": 4, "n_compared": 0, "n_draws": 2}
    found = audit(pipe, X, y, sources=True, **asked)
    assert given == [(pipe, len(X), len(y), 2, threat)]
    assert list(found.figures())[-1] == "sources"
    page = Page(found.to_html())
    assert "Where instability comes from" in page.text
    for name in found.sources.frame["source"]:
        assert name in page.text
    assert "Where instability comes from" in found.to_markdown()
    with pytest.raises(ValueError, match="needs y"):
        audit(pipe, X, sources=True, **asked)


def test_a_linear_model_has_one_gradient_and_no_seed(numbers):
    X, y = numbers
    found = stability_sources(LinearClassifier().fit(X, y), X, y, threat=ThreatModel(0.1), **CHEAP)
    frame = found.frame.set_index("source")
    assert (found.values["input"] == 1)[~np.isnan(found.values["input"])].all()
    assert (found.values["seeds"] == 1).all()
    assert (found.values["bootstrap"] < 1).any()
    assert "no baseline" in frame.loc["baseline", "meaning"]


def test_other_draws_of_smooth_grad_and_of_a_random_black_box(numbers):
    X, y = numbers
    explainer = SmoothGrad(n_draws=2, sigma=1.0)
    clf = SoftplusClassifier(explainer=explainer, module__hidden=(8,), module__beta=5.0, max_epochs=40, lr=0.02).fit(
        X, y
    )
    found = stability_sources(clf, X, y, **{**CHEAP, "n_fits": 0})
    assert (found.values["sampling"] < 1).any()
    assert "n_fits=0" in found.frame.set_index("source").loc["seeds", "meaning"]
    r = np.random.default_rng(0)
    model = LogisticRegression().fit(X, y)
    box = stability_sources(model, X, y, explainer=lambda points: r.normal(size=np.shape(points)), **CHEAP)
    assert set(box.values) == {"input", "sampling"}
    # two random sets of two of four
    assert box.values["sampling"].mean() == pytest.approx(0.5, abs=0.2)


def test_the_interval_covers_the_mean_of_crossed_effects():
    r = np.random.default_rng(0)
    inside = []
    for _ in range(300):
        values = 0.5 + 0.05 * r.normal(size=(6, 1)) + 0.1 * r.normal(size=(1, 20)) + 0.1 * r.normal(size=(6, 20))
        mean, low, high = crossed_interval(values, 4)
        assert low <= mean <= high
        inside.append(low <= 0.5 <= high)
    assert 0.92 <= np.mean(inside) <= 1
    assert crossed_interval(np.ones((3, 20)), 4)[1] < 1
    assert math.isnan(crossed_interval(np.full((2, 3), np.nan), 4)[0])
    values = np.array([[0.5, np.nan], [1.0, 0.5]])
    assert crossed_interval(values, 2)[0] == pytest.approx(2 / 3)


def test_labels_of_another_length_are_refused(numbers):
    X, y = numbers
    clf = LinearClassifier().fit(X, y)
    with pytest.raises(ValueError, match="one label per row"):
        stability_sources(clf, X, y[:5], **CHEAP)
    with pytest.raises(ValueError, match="at least 6"):
        stability_sources(clf, X[:4], y[:4], **CHEAP)
