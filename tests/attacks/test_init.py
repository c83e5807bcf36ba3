"""Every attack is a scikit-learn transformer."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import robustxai.attacks
from robustxai.attacks import FGSM, PGD, AutoExplanationAttack, BaseAttack, CenterOfMassAttack, GradientAttack
from robustxai.attacks._transformer import AttackTransformer
from robustxai.perturbation import ThreatModel

from .conftest import ATTACKS, CHEAP, PREDICTION_ATTACKS, Victim, every_attack

pytestmark = pytest.mark.usefixtures("quick_ensemble")


def test_no_attack_is_forgotten_here():
    public = {getattr(robustxai.attacks, name) for name in robustxai.attacks.__all__}
    attacks = {c for c in public if isinstance(c, type) and issubclass(c, AttackTransformer)}
    # CenterOfMassAttack takes no tables: its own file has the common tests on images
    known = {*ATTACKS, *PREDICTION_ATTACKS, AutoExplanationAttack}
    assert attacks - {BaseAttack, GradientAttack, CenterOfMassAttack} == known


# scikit-learn compares to 1e-7, where float32 is known to 1e-7 of a step: hence a small radius
SMALL = ThreatModel(epsilon=0.1)


@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")  # a handful of rows
@pytest.mark.filterwarnings("ignore:k=1 is not smaller:UserWarning")  # checks with a single feature
@parametrize_with_checks(
    [attack(Victim(), k=1, max_iter=2, threat=SMALL, **CHEAP.get(attack, {})) for attack in ATTACKS]
    + [FGSM(Victim(), threat=SMALL), PGD(Victim(), threat=SMALL, max_iter=2)]
    + [AutoExplanationAttack(Victim(), k=1, threat=SMALL, preset="fast")],
    expected_failed_checks=lambda attack: (
        {}
        if not hasattr(attack, "max_iter")
        else {
            "check_transformer_n_iter": "fit learns nothing: max_iter is the budget of transform, and n_iter_ would be "
            "the number of iterations of a fit"
        }
    ),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@every_attack
def test_a_clone_attacks_the_same_victim(attack, victim, X):
    options = {"k": 3, "max_iter": 4, **CHEAP.get(attack, {})}
    original = attack(victim, threat=ThreatModel(epsilon=0.3, frozen=[1]), **options)
    copy = clone(original)
    assert copy.estimator is victim
    assert not hasattr(copy, "k_")
    assert copy.threat is not original.threat
    assert copy.get_params(deep=False).keys() == original.get_params(deep=False).keys()
    np.testing.assert_array_equal(copy.fit_transform(X), original.fit_transform(X))


@every_attack
def test_a_pickled_attack_attacks_alike(attack, victim, X):
    options = {"k": 3, "max_iter": 4, **CHEAP.get(attack, {})}
    original = attack(victim, threat=ThreatModel(epsilon=0.3, frozen=[1]), **options).fit(X)
    copy = pickle.loads(pickle.dumps(original))
    np.testing.assert_array_equal(copy.transform(X), original.transform(X))
    result = original.run(X)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(result.precision_at_k, again.precision_at_k)


@every_attack
def test_frames_in_frames_out(attack, victim, X):
    frame = pd.DataFrame(X, columns=list("abcdefgh"), index=np.arange(len(X)) * 10)
    threat, options = ThreatModel(frozen=["b", "h"]), {"k": 3, "max_iter": 3, **CHEAP.get(attack, {})}
    result = attack(victim, threat=threat, **options).run(frame)
    plain = attack(victim, threat=ThreatModel(frozen=[1, 7]), **options).run(X)
    for name in ("X_adv", "attribution", "attribution_adv"):
        value = getattr(result, name)
        assert value.index.equals(frame.index)
        assert list(value.columns) == list(frame.columns)
        np.testing.assert_array_equal(value, getattr(plain, name))
    np.testing.assert_array_equal(result.precision_at_k, plain.precision_at_k)

    transformer = attack(victim, threat=threat, **options).set_output(transform="pandas")
    pd.testing.assert_frame_equal(transformer.fit_transform(frame), result.X_adv)


@every_attack
def test_in_a_pipeline_the_attack_sees_what_the_steps_before_it_make(attack, victim, X):
    options = {"k": 3, "max_iter": 3, **CHEAP.get(attack, {})}
    pipe = make_pipeline(StandardScaler(), attack(victim, **options))
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_array_equal(pipe.fit(X).transform(X), attack(victim, **options).fit_transform(scaled))
    assert pipe.get_feature_names_out().tolist() == [f"x{i}" for i in range(8)]
