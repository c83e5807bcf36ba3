"""P@k as a metric of Quantus, and its metrics on our explanations."""

import numpy as np
import pytest

from robustxai.attacks import AutoExplanationAttack
from robustxai.certificates import certify_top_k
from robustxai.integrations import quantus_explainer, quantus_metric
from robustxai.metrics import precision_at_k
from robustxai.perturbation import ThreatModel

quantus = pytest.importorskip("quantus")
pytestmark = pytest.mark.usefixtures("quick_ensemble")


@pytest.fixture(scope="module")
def rows(clf, features):
    x = features[:6]
    return clf.module_, x, clf.encode_target(x).numpy()


def test_attacks_and_certificates_are_metrics(clf, rows):
    x = rows[1]
    attacked = quantus_metric(k=1, epsilon=0.3, explainer="gradient", preset="fast")
    assert isinstance(attacked, quantus.Metric)
    attack = AutoExplanationAttack(clf, k=1, threat=ThreatModel(0.3), preset="fast")
    assert attacked(*rows) == attack.run(x).precision_at_k.tolist()
    proven = quantus_metric("certified_precision", k=1, epsilon=0.3, explainer="gradient")
    assert proven(*rows) == certify_top_k(clf, x, k=1, epsilon=0.3).precision_at_k.tolist()
    assert np.all(np.array(proven(*rows)) <= np.array(attacked(*rows)))
    assert attacked.score_direction.value == "higher"


def test_explanations_of_others_are_attacked_as_a_black_box(rows):
    asked = []

    def ones_but_one(model, inputs, targets, **kwargs):
        asked.append(len(inputs))
        values = np.ones(inputs.shape)
        values[np.arange(len(inputs)), inputs[:, 0].round().astype(int)] = 2  # 0.49 and 0.51 differ
        return values

    metric = quantus_metric(k=1, norm="inf", epsilon=1.0, preset="fast")
    found = np.array(metric(*rows, explain_func=ones_but_one))
    assert asked
    assert set(found.tolist()) <= {0.0, 1.0}
    assert (found == 0).any()
    with pytest.raises(ValueError, match="explain_func"):
        metric(*rows)
    with pytest.raises(ValueError, match="pass explainer="):
        quantus_metric("certified_precision")


def test_they_run_in_its_evaluation_beside_its_own(rows):
    net, x, y = rows
    explain = quantus_explainer(explainer="gradient")
    metrics = {
        "P@k": quantus_metric(k=1, epsilon=0.1, explainer="gradient", preset="fast"),
        "Max-Sensitivity": quantus.MaxSensitivity(nr_samples=3, disable_warnings=True),
    }
    found = quantus.evaluate(
        metrics=metrics,
        xai_methods={"gradient": explain},
        model=net,
        x_batch=x,
        y_batch=y,
        agg_func=np.mean,
        explain_func_kwargs={},
        call_kwargs={"call": {}},
    )
    assert 0 <= found["gradient"]["P@k"] <= 1
    assert found["gradient"]["Max-Sensitivity"] >= 0


def test_its_metrics_see_our_explanations(clf, rows, features):
    net, x, y = rows
    explain = quantus_explainer(clf)
    np.testing.assert_allclose(explain(net, x, y), clf.explain(x), rtol=1e-6)
    # its completeness, with our integrated gradients: the sum is the difference of the scores
    path = quantus_explainer(clf, "gradient_times_input")
    scores = quantus.Sparseness(disable_warnings=True)(net, x, y, explain_func=path)
    values = np.sort(np.abs(path(net, x, y)), axis=1)
    weights = 2 * np.arange(1, values.shape[1] + 1) - values.shape[1] - 1
    gini = (weights * values).sum(axis=1) / (values.shape[1] * values.sum(axis=1))
    np.testing.assert_allclose(scores, gini, rtol=1e-3)
    randomized = quantus.MPRT(disable_warnings=True, return_average_correlation=True, seed=0)
    found = randomized(net, x, y, explain_func=explain)
    assert np.isfinite(found).all()
    assert precision_at_k(explain(net, x, y), clf.explain(x), 1).tolist() == [1.0] * 6  # the network is as it was
    with pytest.raises(TypeError, match="needs an explainer"):
        quantus_explainer()
