import copy

import numpy as np
import pytest
import torch

from robustxai.classifiers import ATEXClassifier, SoftplusClassifier, VanillaClassifier

from .conftest import small
from .test_all import states_equal


def test_weight_zero_is_the_teacher_to_the_last_bit(data):
    X, y = data
    a, b = small(ATEXClassifier, alpha=0, module__activation="relu").fit(X, y), small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


@pytest.mark.parametrize("kind", [VanillaClassifier, SoftplusClassifier])
def test_the_teacher_speaks_with_its_own_activations(kind, data):
    X, y = data
    teacher = small(kind, max_epochs=20).fit(X, y)
    for init in (teacher, teacher.module_):
        student = small(ATEXClassifier, init=init, alpha=0, max_epochs=30).fit(X, y)
        assert repr(student.net_.terms[0].penalty.teacher) == repr(teacher.module_)
        assert "Softplus(beta=3.0" in repr(student.module_)
        np.testing.assert_allclose(student.predict_proba(X), teacher.predict_proba(X), atol=0.1)
        assert student.history_[-1]["distillation"] < 0.01


def test_a_teacher_that_is_given_is_left_alone_and_followed(data):
    X, y = data
    teacher = small(SoftplusClassifier, max_epochs=30).fit(X, y)
    before = copy.deepcopy(teacher)
    student = small(ATEXClassifier, init=teacher, max_epochs=10).fit(X, 2 - y)  # wrong labels: it must not read them
    assert states_equal(teacher, before)
    assert not states_equal(student, teacher)
    assert (student.predict(X) == teacher.predict(X)).mean() > 0.95
    assert all(p.requires_grad for p in teacher.module_.parameters())
    own = small(ATEXClassifier).fit(X, y)
    trained = small(SoftplusClassifier, beta=3.0).fit(X, y)
    for a, b in zip(own.net_.terms[0].penalty.teacher.parameters(), trained.module_.parameters()):
        assert torch.equal(a, b)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_no_training_step_differentiates_twice(variant, data, monkeypatch):
    X, y = data
    grad, calls = torch.autograd.grad, []

    def watched(*args, **kwargs):
        calls.append(bool(kwargs.get("create_graph", False)))
        result = grad(*args, **kwargs)
        assert all(part.grad_fn is None for part in result)  # nothing to differentiate again
        return result

    backward = torch.Tensor.backward

    def watched_backward(self, *args, **kwargs):
        assert not kwargs.get("create_graph", False)
        nodes, seen = [self.grad_fn], set()
        while nodes:  # a derivative in the graph of the loss would stand there as a ...BackwardBackward node
            node = nodes.pop()
            if node is not None and node not in seen:
                seen.add(node)
                assert "BackwardBackward" not in node.name()
                nodes.extend(following for following, _ in node.next_functions)
        return backward(self, *args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", watched)
    monkeypatch.setattr(torch.Tensor, "backward", watched_backward)
    clf = small(ATEXClassifier, variant=variant).fit(X, y)
    assert calls
    assert not any(calls)
    assert all(p.grad is None or p.grad.grad_fn is None for p in clf.module_.parameters())


def test_the_student_says_across_the_explanation_what_the_teacher_says_on_it(data):
    X, y = data
    teacher = small(SoftplusClassifier, max_epochs=30, module__hidden=(16,)).fit(X, y)
    student = small(ATEXClassifier, init=teacher, max_epochs=60, alpha=1.0, module__hidden=(16,)).fit(X, y)
    first, last = student.history_[0], student.history_[-1]
    assert last["tangent"] < first["tangent"]
    assert {"cross_entropy", "distillation", "tangent"} <= set(last)
    assert last["train_loss"] == pytest.approx(last["distillation"] + last["tangent"], rel=1e-4)
    assert len(student.history_) == 60


def test_the_reference_has_one_term(data):
    clf = small(ATEXClassifier, variant="reference").fit(*data)
    assert clf.history_[-1]["train_loss"] == pytest.approx(clf.history_[-1]["tangent"], rel=1e-4)
    assert "distillation" not in clf.history_[-1]


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1}, {"epsilon": -1}, {"temperature": 0}, {"n_along": 0}, {"n_across": 0}, {"variant": "code"}]
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(ATEXClassifier, **wrong).fit(*data)


def test_moves_across_have_a_length_of_their_own(data):
    X, y = data
    alike = small(ATEXClassifier, epsilon=0.7).fit(X, y)
    named = small(ATEXClassifier, epsilon=0.7, epsilon_across=0.7).fit(X, y)
    assert states_equal(alike, named)
    other = small(ATEXClassifier, epsilon=0.7, epsilon_across=2.0, n_draws=3).fit(X, y)
    tangent = other.net_.terms[1].penalty
    assert (tangent.along, tangent.across, tangent.n_draws) == (0.7, 2.0, 3)
    assert not states_equal(alike, other)


@pytest.mark.parametrize(("name", "value"), [("epsilon_across", -1.0), ("n_draws", 0)])
def test_bad_lengths_and_counts_are_named(name, value, data):
    with pytest.raises(ValueError, match=name):
        small(ATEXClassifier, **{name: value}).fit(*data)
