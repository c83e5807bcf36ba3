"""What the attacks on predictions promise."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai import VanillaClassifier
from robustxai.attacks import FGSM
from robustxai.explainers import log_odds
from robustxai.perturbation import ThreatModel

from .conftest import Strict, Victim, every_prediction_attack
from .test_base import threats

EPS = np.finfo(np.float32).eps


@every_prediction_attack
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_promise_about_the_result(attack, victim, data):
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    X = np.random.default_rng(data.draw(st.integers(0, 100))).normal(size=(7, 6)).astype(dtype)
    threat, y = data.draw(threats(X)), data.draw(st.sampled_from([None, np.array(["yes", "no"] * 4)[:7]]))
    before = X.copy()
    X_adv = attack(victim, threat=threat).fit(X).transform(X, y)
    np.testing.assert_array_equal(X, before)
    assert X_adv.dtype == dtype
    np.testing.assert_array_equal(X_adv[:, threat.frozen], X[:, threat.frozen])
    if threat.bounds is not None:
        low, high = (np.broadcast_to(side, X.shape).astype(dtype) for side in threat.bounds)
        assert ((low <= X_adv) & (X_adv <= high)).all()
    unit = np.ones(6) * (1.0 if threat.scale is None else threat.scale)
    length = np.linalg.norm((X_adv.astype(float) - X) / unit, ord=2 if threat.norm == 2 else np.inf, axis=1)
    rounding = np.linalg.norm(np.finfo(dtype).eps * np.maximum(np.abs(X), np.abs(X_adv)) / unit, axis=1)
    assert (length <= threat.epsilon * (1 + 8 * EPS) + rounding).all()
    threat.bind(X_adv)


@every_prediction_attack
def test_nothing_moves_without_room(attack, victim, X):
    for threat in (ThreatModel(epsilon=0.0), ThreatModel(frozen=range(8))):
        X_adv = attack(victim, threat=threat).fit_transform(X)
        np.testing.assert_array_equal(X_adv, X)
        assert not np.shares_memory(X_adv, X)


@every_prediction_attack
def test_predictions_change_where_they_can(attack, vanilla, cancer):
    X = cancer[1]
    X_adv = attack(vanilla, threat=ThreatModel(epsilon=1.0, bounds=(0, 1))).fit_transform(X)
    assert (vanilla.predict(X_adv) != vanilla.predict(X)).mean() > 0.5


@every_prediction_attack
def test_labels_say_what_to_get_away_from(attack, victim, X):
    y = np.array(["no", "yes"] * 12)
    fitted, column = attack(victim, threat=ThreatModel(epsilon=0.3)).fit(X), y == "yes"
    before, after = (
        victim.predict_proba(rows)[np.arange(24), column.astype(int)] for rows in (X, fitted.transform(X, y))
    )
    assert (after < before).all()
    np.testing.assert_array_equal(fitted.transform(X), fitted.transform(X, victim.predict(X)))
    assert not np.array_equal(fitted.transform(X), fitted.transform(X, y))
    # as everywhere in scikit-learn
    np.testing.assert_array_equal(attack(victim).fit_transform(X, y), attack(victim).fit(X, y).transform(X))


@every_prediction_attack
def test_an_unknown_label_is_refused(attack, vanilla, cancer):
    X = cancer[1][:4]
    with pytest.raises(ValueError, match="y holds 7, which is none of the classes"):
        attack(vanilla).fit(X).transform(X, [0, 1, 7, 1])


def test_the_log_odds_rise_with_the_cross_entropy():
    logits, target = (
        torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        torch.arange(50) % 4,
    )
    expected = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    np.testing.assert_allclose(torch.nn.functional.softplus(-log_odds(logits, target)), expected, rtol=1e-12)


@every_prediction_attack
@pytest.mark.parametrize("confidence", [1.0, 1e3])
def test_a_confident_victim_is_no_obstacle(attack, confidence):
    """The cross-entropy's own gradient is 0 in float32 here."""

    class Linear(torch.nn.Module):
        def forward(self, x):
            score = confidence * (x @ torch.tensor([1.0, -2.0, 2.0]))
            return torch.stack([-score, score], dim=1)

    X = np.array([[1.0, 0.0, 0.5], [-1.0, 0.3, 0.0]])
    X_adv = attack(Victim(Linear()), threat=ThreatModel(epsilon=0.3)).fit_transform(X)
    step = 0.3 * np.array([1, -2, 2]) / 3
    # PGD slides along the sphere from where it started
    np.testing.assert_allclose(X_adv - X, [-step, step], atol=1e-5 if attack is FGSM else 0.03)


@every_prediction_attack
def test_images_are_attacked_in_their_shape(attack):
    class Flat(torch.nn.Module):
        def forward(self, x):
            return Victim().module_(x.flatten(start_dim=1))

    images = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32)
    X_adv = attack(Victim(Flat())).fit_transform(images)
    assert X_adv.shape == images.shape
    assert (X_adv != images).reshape(5, -1).any(axis=1).all()


@every_prediction_attack
def test_a_row_does_not_depend_on_the_rows_beside_it(attack, victim, X):
    whole = attack(victim).fit_transform(X)
    # the logarithm in the log-odds is rounded by its place in the array
    for batch_size in (1, 7):
        np.testing.assert_allclose(attack(victim, batch_size=batch_size).fit_transform(X), whole, atol=32 * EPS)
    np.testing.assert_allclose(attack(victim).fit_transform(X[5:9]), whole[5:9], atol=32 * EPS)


@every_prediction_attack
def test_clones_and_pickles_attack_the_same_victim_alike(attack, victim, X):
    state = torch.get_rng_state()
    original = attack(victim, threat=ThreatModel(epsilon=0.3, frozen=[1])).fit(X)
    copied = clone(original)
    assert copied.estimator is victim
    assert not hasattr(copied, "n_features_in_")
    for other in (original, copied.fit(X), pickle.loads(pickle.dumps(original))):
        np.testing.assert_array_equal(other.transform(X), original.transform(X))
    assert torch.equal(torch.get_rng_state(), state)


@every_prediction_attack
def test_the_victim_is_left_as_it_was(attack, relu_victim, X):
    module = relu_victim.module_
    before = copy.deepcopy(module.state_dict())
    attack(relu_victim).fit_transform(X)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


@every_prediction_attack
def test_frames_and_pipelines(attack, victim, X):
    frame = pd.DataFrame(X, columns=list("abcdefgh"), index=np.arange(24) * 10)
    transformer = attack(victim, threat=ThreatModel(frozen=["b", "h"])).set_output(transform="pandas")
    plain = attack(victim, threat=ThreatModel(frozen=[1, 7])).fit_transform(X)
    result = transformer.fit(frame).transform(frame, victim.predict(X))
    pd.testing.assert_frame_equal(result, pd.DataFrame(plain, frame.index, frame.columns))
    pipe = make_pipeline(StandardScaler(), attack(victim)).fit(X)
    np.testing.assert_array_equal(pipe.transform(X), attack(victim).fit_transform(StandardScaler().fit_transform(X)))
    known = VanillaClassifier(max_epochs=1, module__hidden=(4,)).fit(frame, X[:, 0] > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack(known).fit_transform(frame)


@every_prediction_attack
def test_bad_input_is_refused(attack, victim, X):
    name = attack.__name__
    with pytest.raises(ValueError, match=rf"{name} has no estimator to attack: pass .* {name}\(clf\)"):
        attack().fit(X)
    with pytest.raises(NotFittedError, match="under attack is not fitted yet"):
        attack(VanillaClassifier()).fit(X)
    with pytest.raises(NotFittedError):
        attack(victim).transform(X)
    with pytest.raises(TypeError, match="threat must be a ThreatModel"):
        attack(victim, threat=0.5).fit(X)
    with pytest.raises(ValueError, match="batch_size must be a finite number >= 1"):
        attack(victim, batch_size=0).fit(X)
    with pytest.raises(ValueError, match="contains NaN"):
        attack(victim).fit(np.where(X > 1, np.nan, X))
    with pytest.raises(ValueError, match="X has 7 features"):
        attack(victim).fit(X).transform(X[:, :7])
    with pytest.raises(ValueError, match=r"rows lie outside the bounds.*Clip X"):
        attack(victim, threat=ThreatModel(bounds=(0, 1))).fit_transform(X)
    with pytest.raises(ValueError, match="Strict is expecting 8 features"):
        attack(Strict().fit(X)).fit_transform(X[:, :7])
