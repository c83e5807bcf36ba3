import pytest

from robustxai.explainers import EXPLAINERS, Gradient, resolve_explainer


@pytest.mark.parametrize("name", sorted(EXPLAINERS))
def test_a_name_becomes_its_explainer(name):
    assert resolve_explainer(name) is EXPLAINERS[name]


def test_a_callable_is_its_own_explainer():
    explainer = Gradient("logit")
    assert resolve_explainer(explainer) is explainer
    assert resolve_explainer(max) is max


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("gradeint", "gradient"), ("logit_grad", "logit_gradient"), ("crossentropy_gradient", "cross_entropy_gradient")],
)
def test_a_misspelt_name_gets_the_nearest(wrong, nearest):
    with pytest.raises(ValueError, match=f"explainer='{wrong}'.*Did you mean '{nearest}'"):
        resolve_explainer(wrong)


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="a name or a callable"):
        resolve_explainer(3)
