"""What a parameter that is set after `fit` does: it takes effect at once, is refused, or waits for the next fit."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from robustxai._table_summary import fill
from robustxai.attacks import BoundaryMarginAttack
from robustxai.certificates import certify_top_k
from robustxai.classifiers import SoftplusClassifier
from robustxai.explainers import EXPLAINERS, Gradient, resolve_explainer
from robustxai.metrics import hessian_norm, ranking_thickness

from .test_all import small

#: What to set each parameter to, where adding one to a number or flipping a bool does not make another valid value.
OTHER = {"max_epochs": 1, "lr": 0.3, "explainer": "integrated_gradients", "random_state": 7}


@pytest.fixture(scope="module")
def fitted():
    r = np.random.default_rng(0)
    X = r.normal(size=(120, 5)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)
    return SoftplusClassifier(max_epochs=5).fit(X, y), X, y


def by_hand(clf, X, explainer):
    """The attribution of the predicted class from the explainer alone."""
    x = torch.tensor(X, requires_grad=True)
    target = torch.as_tensor(clf.predict_proba(X).argmax(axis=1))
    filled = fill(resolve_explainer(explainer), clf.table_summary_)
    return filled(clf.module_, x, target).detach().numpy()


@pytest.mark.parametrize("explainer", [*EXPLAINERS, Gradient("logit")], ids=str)
def test_explain_in_any_way(fitted, explainer):
    clf, X, _ = fitted
    before = clf.explain(X)
    wanted = by_hand(clf, X, explainer)
    np.testing.assert_allclose(clf.explain(X, explainer=explainer), wanted, rtol=2e-4, atol=1e-7)
    assert np.array_equal(clf.explain(X), before)  # for one call alone
    changed = copy.deepcopy(clf).set_params(explainer=explainer)
    assert np.array_equal(changed.explain(X), clf.explain(X, explainer=explainer))


def test_frames_and_labels_go_with_an_explainer(fitted):
    clf, X, y = fitted
    frame = pd.DataFrame(X, columns=list("abcde"))
    named = copy.deepcopy(clf).fit(frame, y)
    found = named.explain(frame, y=1, explainer="logit_gradient")
    assert list(found.columns) == list("abcde")
    np.testing.assert_array_equal(found, named.set_params(explainer="logit_gradient").explain(frame, y=1))


def test_attacks_see_the_new_explainer(cls, data):
    X, y = data
    old = small(cls).fit(X, y)
    new = copy.deepcopy(old).set_params(explainer="gradient_times_input")
    attack = BoundaryMarginAttack(new, k=1, max_iter=2)
    np.testing.assert_array_equal(attack.run(X[:20]).attribution, old.explain(X[:20], explainer="gradient_times_input"))
    attack.transform(X[:20])
    new.set_params(explainer="gradient")  # under an attack that is fitted already
    np.testing.assert_array_equal(attack.run(X[:20]).attribution, old.explain(X[:20]))


@pytest.mark.parametrize("explainer", ["gradient_times_input", "logit_gradient", "integrated_gradients"])
@pytest.mark.parametrize(
    "measure",
    [
        lambda clf, X: ranking_thickness(clf, X, 2, n_draws=2, n_points=2),
        lambda clf, X: hessian_norm(clf, X),
        lambda clf, X: certify_top_k(clf, X, k=2, epsilon=0.4, method="affine").n_proven_pairs,
        lambda clf, X: BoundaryMarginAttack(clf, k=2, max_iter=3).run(X).X_adv,
    ],
    ids=["thickness", "hessian", "certificate", "attack"],
)
def test_the_same_as_if_it_had_been_given_before(fitted, explainer, measure):
    clf, X, y = fitted  # trained by the cross-entropy alone, so that the explainer has no part in it
    before = SoftplusClassifier(max_epochs=5, explainer=explainer).fit(X, y)
    after = copy.deepcopy(clf).set_params(explainer=explainer)
    np.testing.assert_array_equal(measure(after, X[:8]), measure(before, X[:8]))
    assert not np.array_equal(measure(after, X[:8]), measure(clf, X[:8]))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("explainer", "gradiant", ValueError), ("explainer", 3, TypeError), ("device", "gpu", ValueError)],
)
def test_what_cannot_be_is_refused_and_nothing_is_set(fitted, name, value, error):
    clf = copy.deepcopy(fitted[0])
    before = clf.get_params()
    with pytest.raises(error, match=name):
        clf.set_params(**{"lr": 0.7, name: value})
    assert clf.get_params() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_fitted_classifier_is_not_moved_to_a_missing_gpu(fitted):
    clf = copy.deepcopy(fitted[0])
    with pytest.raises(ValueError, match="sees no GPU here"):
        clf.set_params(device="cuda")
    assert clf.device == "auto"
    assert clf.set_params(device="cpu").predict(fitted[1]).shape == (120,)


def test_a_fitted_classifier_moves_with_its_device(fitted):
    clf = copy.deepcopy(fitted[0]).set_params(device="meta")  # a device that every machine has
    assert clf.device_ == torch.device("meta") == torch.device(clf.net_.device)
    assert {p.device.type for p in clf.module_.parameters()} == {"meta"}


def test_every_other_parameter_waits_for_the_next_fit(cls, data):
    X, y = data
    clf = small(cls).fit(X, y)
    labels, explanation, probabilities = clf.predict(X), clf.explain(X), clf.predict_proba(X)
    for name, value in clf.get_params().items():
        if name in ("explainer", "device"):
            continue
        other = OTHER.get(name, not value if isinstance(value, bool) else 2 if value is None else value)
        clf.set_params(**{name: other + 1 if isinstance(other, (int, float)) and other is value else other})
        assert np.array_equal(clf.explain(X), explanation), name
    assert np.array_equal(clf.predict(X), labels)
    assert np.array_equal(clf.predict_proba(X), probabilities)
