import numpy as np
import pytest

from robustxai import SoftplusClassifier
from robustxai.attacks import ERAttack
from robustxai.inspection import ThicknessDisplay
from robustxai.metrics import flip_correlation, hessian_norm, ranking_thickness
from robustxai.perturbation import ThreatModel

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")


@pytest.mark.parametrize("shape", [(6,), (1, 8, 8)], ids=["table", "image"])
def test_models_are_attacked_and_measured(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, *shape)).astype(np.float32)
    flat = X.reshape(100, -1)
    # a model that is nearly linear cannot be attacked
    clf = SoftplusClassifier(max_epochs=30, lr=0.02).fit(X, (flat[:, 0] > flat[:, 1]) ^ (flat[:, 2] > flat[:, 3]))
    X = X[:16]
    attack = ERAttack(max_iter=60, step_size=0.02, momentum=0.0, threat=ThreatModel(1.5))
    display = ThicknessDisplay.from_estimators({"A": clf}, X, attack=attack, k=4, epsilon=1.0, n_draws=4, n_points=3)
    expected = {
        "first_flip": attack.set_params(estimator=clf, k=4).run(X).first_flip,
        "thickness": ranking_thickness(clf, X, 4, epsilon=1.0, n_draws=4, n_points=3),
        "hessian_norm": hessian_norm(clf, X),
    }
    for ax, quantity in zip(display.axes_[0], ("thickness", "hessian_norm")):
        drawn = np.concatenate([np.asarray(points.get_offsets()) for points in ax.collections])
        points = np.column_stack([expected[quantity], expected["first_flip"]])
        np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], points[np.lexsort(points.T)], rtol=1e-5)
        correlation = flip_correlation(expected["first_flip"], expected[quantity]).spearman
        assert ax.get_title() == f"A: rank correlation {correlation:.2f}"
    assert expected["first_flip"].min() <= display.max_iter == 60
