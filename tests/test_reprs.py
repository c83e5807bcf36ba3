"""What people print: what was changed and no more, on a line."""

import inspect
import math

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import robustxai.attacks
import robustxai.classifiers
import robustxai.explainers
import robustxai.model_selection
from robustxai import R2ETClassifier
from robustxai._short_repr import short
from robustxai.attacks import ERAttack
from robustxai.attacks._transformer import AttackTransformer
from robustxai.classifiers import BaseExplainableClassifier
from robustxai.model_selection import RobustnessScorer
from robustxai.perturbation import ThreatModel


def public(module, base=object):
    values = [getattr(module, name) for name in module.__all__]
    return [v for v in values if inspect.isclass(v) and issubclass(v, base) and not v.__name__.startswith("Base")]


CLASSIFIERS = public(robustxai.classifiers, BaseExplainableClassifier)
ATTACKS = public(robustxai.attacks, AttackTransformer)
EXPLAINERS = [
    c for c in public(robustxai.explainers) if hasattr(c, "__dataclass_fields__") and c.__name__ != "CaptumExplainer"
]
SCORERS = [c for c in public(robustxai.model_selection) if c.__name__.endswith("Scorer")]
PARTS = [*CLASSIFIERS, *ATTACKS, *EXPLAINERS, *SCORERS, ThreatModel]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_nothing_was_changed(part):
    assert repr(part()) == f"{part.__name__}()"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_changed_parameter_is_printed_and_no_other(part):
    for name, parameter in inspect.signature(part).parameters.items():
        default = parameter.default
        if type(default) not in (int, float):
            continue
        other = math.inf if name == "norm" and default == 2 else 2 if name == "norm" else default + 1
        assert repr(part(**{name: other})) == f"{part.__name__}({name}={other!r})"
        assert repr(part(**{name: default})) == f"{part.__name__}()"


@pytest.mark.parametrize("part", [*CLASSIFIERS, *ATTACKS], ids=lambda part: part.__name__)
def test_the_page_of_a_notebook(part):
    name = "k" if "k" in inspect.signature(part).parameters else next(iter(inspect.signature(part).parameters))
    html = part(**{name: 3})._repr_html_()
    assert part.__name__ in html
    assert f"{part.__name__}({name}=3)" in html  # the text that is shown without a style sheet
    assert html.count('class="user-set"') == 1


class Derived(R2ETClassifier):
    """A user's own."""

    def __init__(self, mu=1.0, *, k=3, **params):
        super().__init__(k=k, **params)
        self.mu = mu


def test_of_a_subclass_and_of_nested_ones():
    assert repr(Derived(k=3, lr=0.005)) == "Derived()"
    assert repr(Derived(2.0, k=8, module__hidden=(4,))) == "Derived(k=8, module__hidden=(4,), mu=2.0)"
    assert repr(ERAttack(R2ETClassifier(k=4), k=4)) == "ERAttack(estimator=R2ETClassifier(k=4), k=4)"
    assert repr(RobustnessScorer({"er": ERAttack(k=2)})) == "RobustnessScorer(attack={'er': ERAttack(k=2)})"
    assert "R2ETClassifier(k=4))" in repr(make_pipeline(StandardScaler(), R2ETClassifier(k=4)))


def test_arrays_are_told_by_their_shape():
    threat = ThreatModel(0.1, frozen=["age"], scale=np.ones(100), bounds=(np.zeros(3), 1.0))
    assert repr(threat) == (
        "ThreatModel(epsilon=0.1, bounds=(array([0.0, 0.0, 0.0]), 1.0), frozen=['age'], scale=ndarray of shape (100,))"
    )
    assert "\n" not in repr(ERAttack(R2ETClassifier(k=4), threat=threat)) or len(repr(threat)) < 200
    assert short(list(range(100))) == "[0, 1, 2, 3, 4, 5, ... 100 in all]"
    assert short((1,)) == "(1,)"
    assert short({i: i for i in range(8)}).endswith("... 8 in all}")


def test_radii_of_different_boxes_are_not_one_curve():
    from robustxai.model_selection._scorers import _by_radius

    boxes = [np.zeros(100), np.r_[np.zeros(99), -1.0]]  # one repr
    attacks = {
        f"{i}{epsilon}": ERAttack(threat=ThreatModel(epsilon, bounds=(low, 1.0)))
        for i, low in enumerate(boxes)
        for epsilon in (0.1, 0.2)
    }
    curves = _by_radius(attacks, dict.fromkeys(attacks, 0.5))
    assert curves == [{0.1: 0.5, 0.2: 0.5}] * 2
