import pytest

from robustxai.attacks import AutoExplanationAttack, ERAttack
from robustxai.benchmark import ATTACKS, DATA, DEFENSES, STANDARD_ATTACKS
from robustxai.perturbation import ThreatModel


@pytest.mark.parametrize("name", [name for name in STANDARD_ATTACKS if name != "auto"])
def test_an_attack_gets_what_the_cell_says(name):
    threat = ThreatModel(0.25, norm="inf")
    attack = ATTACKS[name](5, threat, 17, 3)
    assert (attack.k, attack.threat, attack.max_iter, attack.random_state) == (5, threat, 17, 3)


def test_the_ensemble_is_standard_and_has_budgets_of_its_own():
    threat = ThreatModel(0.25, norm="inf")
    attack = ATTACKS["auto"](5, threat, 17, 3)
    assert isinstance(attack, AutoExplanationAttack)
    assert (attack.k, attack.threat, attack.preset, attack.random_state) == (5, threat, "standard", 3)
    assert "auto" in STANDARD_ATTACKS


@pytest.mark.parametrize("name", ["er_paper", "mse_paper"])
def test_the_papers_protocol_does_not_depend_on_the_cell(name):
    """1,000 steps of 1e-3 in l2, hence a radius of 1, and the last iterate."""
    attack = ATTACKS[name](5, ThreatModel(0.25, norm="inf", bounds=(0, 1)), 17, 3)
    assert (attack.k, attack.random_state, attack.threat.bounds) == (5, 3, (0, 1))
    assert attack.max_iter * attack.step_size == pytest.approx(attack.threat.epsilon)
    assert (attack.threat.norm, attack.step_size, attack.momentum, attack.keep) == (2, 1e-3, 0, "last")


def test_er_walks_to_the_sphere_in_equal_steps():
    attack = ATTACKS["er"](8, ThreatModel(0.5), 50, 0)
    assert isinstance(attack, ERAttack)
    assert attack.step_size * attack.max_iter == pytest.approx(0.5)
    assert attack.momentum == 0
    assert ATTACKS["er"](8, ThreatModel(0.0), 50, 0).step_size > 0


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defense_is_made_unfitted(name):
    assert not hasattr(DEFENSES[name](8, 0), "classes_")


def test_softplus_with_weight_decay_is_both():
    decayed = DEFENSES["softplus_weight_decay"](8, 3)
    plain = DEFENSES["softplus"](8, 3)
    params = decayed.get_params()
    assert (params["module__activation"], params["module__beta"]) == ("softplus", plain.beta)
    assert params["weight_decay"] > 0
    assert params["random_state"] == 3


def test_breast_cancer_has_names_for_columns_and_labels():
    X, y = DATA["breast_cancer"]()
    assert X.shape == (569, 30)
    assert set(y) == {"malignant", "benign"}
    assert (y == "benign").sum() == 357
