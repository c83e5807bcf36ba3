import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustxai.perturbation import RowSets, ThreatModel, as_threat, input_gradient

NAMES = ("age", "income", "hours", "debt", "rooms")
D = len(NAMES)
FLOAT = torch.float32

examples = settings(deadline=None, max_examples=40)


def numbers(low, high):
    # 16 bits: no subnormal float32 comes out of a projection, whose rounding is absolute and not relative
    return st.floats(low, high, width=16, allow_subnormal=False)


RADII = numbers(2**-7, 4)


@dataclass
class Case:
    """A threat model, inputs that it admits, and raw perturbations and gradients, all in numpy float64."""

    threat: ThreatModel
    x: np.ndarray
    delta: np.ndarray
    frozen: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray

    @property
    def space(self):
        return self.threat.bind(self.x, NAMES)

    def length(self, steps):
        """Length of every row in the norm of the ball, over the free features and in float64."""
        steps = np.asarray(steps, dtype=float) / self.scale
        return np.linalg.norm(steps, ord=2 if self.threat.norm == 2 else np.inf, axis=1)


@st.composite
def cases(draw, epsilons=RADII, boxes=(False, True), norms=(2, "inf", math.inf)):
    n = draw(st.integers(1, 4))
    x = draw(arrays(float, (n, D), elements=numbers(-2, 2)))
    delta = draw(arrays(float, (n, D), elements=numbers(-100, 100)))
    mask = draw(arrays(bool, D))
    frozen = draw(
        st.sampled_from(
            [None, [], mask, np.flatnonzero(mask), mask.tolist(), [name for name, m in zip(NAMES, mask) if m]]
        )
    )
    if frozen is None or len(frozen) == 0:
        mask = np.zeros(D, dtype=bool)
    scale = draw(st.one_of(st.none(), numbers(0.125, 8), arrays(float, D, elements=numbers(0.125, 8))))
    low, high = np.full(D, -np.inf), np.full(D, np.inf)
    bounds = None
    if draw(st.sampled_from(boxes)):
        low, high = (
            x.min(axis=0) - draw(arrays(float, D, elements=numbers(0, 1))),
            x.max(axis=0) + draw(arrays(float, D, elements=numbers(0, 1))),
        )
        bounds = (low, high)
    threat = ThreatModel(
        epsilon=draw(epsilons), norm=draw(st.sampled_from(norms)), bounds=bounds, frozen=frozen, scale=scale
    )
    return Case(threat, x, delta, mask, low, high, np.ones(D) if scale is None else np.broadcast_to(scale, D))


def tensor(array):
    return torch.tensor(array, dtype=FLOAT)


def project(case, delta=None):
    delta = case.delta if delta is None else delta
    return case.space.project(tensor(delta), tensor(case.x)).numpy()


# rounding of one float32 operation, of the handful that a projection makes
ULP = 8 * np.finfo(np.float32).eps


@examples
@given(cases())
def test_a_projected_point_is_in_the_ball_and_the_box_and_frozen_features_are_untouched(case):
    delta = project(case)
    assert (case.length(delta) <= case.threat.epsilon * (1 + ULP)).all()
    moved = case.x + delta
    slack = ULP * np.maximum(np.abs(case.x), np.abs(delta))
    assert (moved >= case.low - slack).all()
    assert (moved <= case.high + slack).all()
    assert (delta[:, case.frozen] == 0).all()
    clipped = case.threat.clip(moved)
    assert clipped.dtype == moved.dtype
    assert (clipped == np.clip(moved, case.low, case.high)).all()


@examples
@given(cases())
def test_projecting_twice_is_projecting_once(case):
    once = project(case)
    np.testing.assert_allclose(project(case, once), once, rtol=ULP, atol=0)


@examples
@given(cases(), numbers(0, 0.9375))
def test_a_point_inside_is_left_alone(case, share):
    inside = project(case) * share
    np.testing.assert_allclose(project(case, inside), inside, rtol=ULP, atol=0)


@examples
@given(cases(boxes=(False,), norms=(2,)))
def test_the_l2_projection_is_the_closed_form(case):
    steps = np.where(case.frozen, 0.0, case.delta / case.scale)
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    expected = steps * np.minimum(1.0, case.threat.epsilon / np.maximum(length, 1e-300)) * case.scale
    np.testing.assert_allclose(project(case), expected, rtol=2 * ULP, atol=0)


@examples
@given(cases(norms=("inf",)))
def test_the_linf_projection_is_the_nearest_point(case):
    """In the cube and the box every coordinate stands alone: the nearest point is a clip of each."""
    radius = np.where(case.frozen, 0.0, case.threat.epsilon * case.scale)
    expected = np.clip(case.delta, np.maximum(-radius, case.low - case.x), np.minimum(radius, case.high - case.x))
    np.testing.assert_allclose(project(case), expected, rtol=ULP, atol=ULP * np.abs(case.x).max())


@examples
@given(cases(epsilons=st.just(0.0)))
def test_a_ball_of_radius_zero_holds_no_perturbation(case):
    assert (project(case) == 0).all()


def test_a_huge_perturbation_is_projected_onto_the_sphere():
    """Its squares overflow float32."""
    delta = torch.tensor([[3e30, -4e30]])
    space = ThreatModel(epsilon=1.0).bind(np.zeros((1, 2)))
    np.testing.assert_allclose(space.project(delta, torch.zeros(1, 2)).numpy(), [[0.6, -0.8]], rtol=1e-6)


# ------------------------------------------------------------------------------------------------ ascent


@examples
@given(cases(boxes=(False,)), st.integers(0, 2**32 - 1))
def test_the_ascent_step_has_length_one_and_no_other_step_climbs_higher(case, seed):
    free = ~case.frozen
    gradient = case.delta + np.sign(case.delta)  # no entry between 0 and 1
    step = case.space.ascent(tensor(gradient)).numpy().astype(float)
    moving = (gradient[:, free] != 0).any(axis=1)
    np.testing.assert_allclose(case.length(step)[moving], 1.0, rtol=ULP)
    assert (step[~moving] == 0).all()
    assert (step[:, case.frozen] == 0).all()

    slope = gradient * case.scale * free
    if case.threat.norm == 2:
        best = np.linalg.norm(slope, axis=1)
        expected = slope / np.maximum(best, 1e-300)[:, None] * case.scale
    else:
        best = np.abs(slope).sum(axis=1)
        expected = np.sign(slope) * case.scale
    np.testing.assert_allclose(step, expected, rtol=ULP)
    climbed = (step * gradient).sum(axis=1)
    np.testing.assert_allclose(climbed, best, rtol=ULP)

    others = np.random.default_rng(seed).normal(size=(50, 1, D)) * free
    lengths = np.array([case.length(other * case.scale)[0] for other in others])
    others = others * case.scale / np.maximum(lengths, 1e-300)[:, None, None]
    assert ((others * gradient).sum(axis=2) <= climbed * (1 + ULP) + 1e-300).all()


@examples
@given(cases(boxes=(False,), norms=(2,)), st.sampled_from([1e-30, 1e-36, 1.0, 1e30]))
def test_normalizing_gives_unit_length_over_the_free_features_whatever_the_magnitude(case, magnitude):
    """A float32 square underflows below 1e-19 and overflows above 1e19."""
    gradient = (case.delta + np.sign(case.delta)) * magnitude
    unit = case.space.normalize(tensor(gradient)).numpy().astype(float)
    lengths = np.linalg.norm(unit * case.scale * ~case.frozen, axis=1)
    alive = (gradient[:, ~case.frozen] != 0).any(axis=1)
    np.testing.assert_allclose(lengths[alive], 1.0, rtol=ULP)
    assert (unit[~alive] == 0).all()
    free = ~case.frozen
    cosine = (unit * gradient)[:, free].sum(axis=1)
    sizes = np.linalg.norm(unit[:, free], axis=1) * np.linalg.norm(gradient[:, free], axis=1)
    np.testing.assert_allclose(cosine[alive], sizes[alive], rtol=ULP)


@pytest.mark.parametrize("norm", [2, "inf"])
def test_a_gradient_of_zero_gives_no_step_and_no_nan(norm):
    space = ThreatModel(norm=norm).bind(np.zeros((2, D)))
    gradient = torch.tensor([[0.0] * D, [1e-30, 0.0, -2e-30, 0.0, 0.0]])
    for result in (space.normalize(gradient), space.ascent(gradient)):
        assert torch.isfinite(result).all()
        assert (result[0] == 0).all()
        assert (result[1] != 0).any()


@examples
@given(cases(), st.integers(0, 2**32 - 1))
def test_a_random_direction_is_reproducible_and_on_the_surface(case, seed):
    space = case.space
    first, again, other = (
        space.random_direction(torch.Generator().manual_seed(s)) for s in (seed, seed, (seed + 1) % 2**32)
    )
    assert first.shape == (1, D)
    assert torch.equal(first, again)
    if case.frozen.all():
        assert (first == 0).all()
        return
    np.testing.assert_allclose(case.length(first.numpy()), 1.0, rtol=ULP)
    assert (first.numpy()[:, case.frozen] == 0).all()
    if (~case.frozen).sum() > 1:
        assert not torch.equal(first, other)


def test_random_directions_leave_the_global_generator_alone_and_have_no_preferred_side():
    space = ThreatModel().bind(np.zeros((1, D)))
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(0)
    draws = torch.cat([space.random_direction(generator) for _ in range(4000)]).numpy()
    assert torch.equal(torch.get_rng_state(), before)
    # on the unit sphere a coordinate has mean 0 and variance 1/d: five standard errors
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=5 / math.sqrt(D * 4000))
    np.testing.assert_allclose((draws**2).mean(axis=0), 1 / D, atol=5 * math.sqrt(2) / D / math.sqrt(4000))


# ------------------------------------------------------------------------------------------------ features


@pytest.mark.parametrize("frozen", [["income", "rooms"], [1, 4], [-4, -1], [False, True, False, False, True]])
def test_frozen_features_by_name_index_or_mask_are_the_same_set(frozen):
    space = ThreatModel(frozen=frozen).bind(np.zeros((1, D)), NAMES)
    assert space.unit.tolist() == [1, 0, 1, 1, 0]


def test_images_keep_their_shape_and_a_mask_freezes_pixels_of_all_channels():
    X = np.zeros((2, 3, 4, 5))
    mask = np.zeros((4, 5), dtype=bool)
    mask[0] = True
    space = ThreatModel(epsilon=1.0, frozen=mask).bind(X)
    assert space.unit.shape == (3, 4, 5)
    delta = space.project(torch.ones(X.shape), torch.zeros(X.shape))
    assert (delta[:, :, 0] == 0).all()
    np.testing.assert_allclose(delta[:, :, 1:].numpy(), 1 / math.sqrt(3 * 3 * 5), rtol=1e-6)


def test_scale_is_the_unit_of_a_feature():
    """The same attack in meters and in millimeters."""
    delta, factor = np.array([[3.0, -1.0, 2.0, 0.5, 4.0]]), np.array([1.0, 1000.0, 1.0, 0.001, 10.0])
    plain = ThreatModel(epsilon=1.5).bind(delta)
    scaled = ThreatModel(epsilon=1.5, scale=factor).bind(delta)
    zero = torch.zeros(1, D)
    np.testing.assert_allclose(
        scaled.project(tensor(delta * factor), zero).numpy(),
        plain.project(tensor(delta), zero).numpy() * factor,
        rtol=1e-6,
    )


def test_float32_inputs_on_a_bound_that_float32_cannot_hold_are_inside():
    X = np.full((2, D), 0.1, dtype=np.float32)
    assert float(X[0, 0]) > 0.1
    threat = ThreatModel(bounds=(-0.7, 0.1))
    assert threat.bind(X).epsilon == 0.5
    assert (threat.clip(X + 1) == X).all()


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"epsilon": -0.1}, ValueError, r"epsilon must be a finite number >= 0, got -0\.1"),
        ({"epsilon": float("nan")}, ValueError, "epsilon must be a finite number"),
        ({"epsilon": math.inf}, ValueError, "epsilon must be a finite number"),
        ({"epsilon": "0.5"}, TypeError, "epsilon must be a number"),
        ({"norm": 1}, ValueError, "norm=1 is not supported; use 2 or inf"),
        ({"norm": "3"}, ValueError, "use 2 or inf"),
        ({"bounds": (1.0, 0.0)}, ValueError, "low <= high"),
        ({"bounds": ([0, 0, 2], 1.0)}, ValueError, "low <= high"),
        ({"bounds": (float("nan"), 1.0)}, ValueError, "no NaN"),
        ({"bounds": (0, 1, 2)}, ValueError, r"a pair \(low, high\)"),
        ({"bounds": 5}, ValueError, r"a pair \(low, high\)"),
        ({"scale": 0}, ValueError, "scale must be positive"),
        ({"scale": [1.0, -1.0]}, ValueError, "scale must be positive"),
        ({"scale": float("nan")}, ValueError, "scale must be positive"),
        ({"frozen": 3}, TypeError, "put it in a list"),
        ({"frozen": "age"}, TypeError, "put it in a list"),
        ({"frozen": {"age": True}}, TypeError, "put it in a list"),
        ({"scale": "0.1"}, TypeError, "scale must be a number"),
        ({"scale": True}, TypeError, "scale must be a number"),
        ({"scale": {"age": "2"}}, TypeError, "scale must be a number"),
        ({"scale": {"age": 0.0}}, ValueError, "scale must be positive"),
        ({"bounds": {"age": 5}}, ValueError, r"a pair \(low, high\)"),
        ({"bounds": {"age": (2, 1)}}, ValueError, "low <= high"),
        ({"bounds": "01"}, ValueError, r"a pair \(low, high\)"),
    ],
)
def test_a_threat_model_that_makes_no_sense_is_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        ThreatModel(**parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bounds": ([0, 0], 1)}, r"bounds has shape \(2,\), which does not fit inputs of shape \(5,\)"),
        ({"scale": [1.0, 2.0]}, r"scale has shape \(2,\)"),
        ({"frozen": [True, False]}, r"frozen has shape \(2,\)"),
        ({"frozen": ["agee"]}, "'agee' is not in the data. Did you mean 'age'"),
        ({"frozen": [0, 5]}, "indices below 5"),
        ({"frozen": [-6]}, "indices below 5"),
        ({"frozen": [0.5]}, "names, a mask, or indices"),
        ({"frozen": [True]}, r"frozen has shape \(1,\)"),
        ({"frozen": np.array([False])}, r"frozen has shape \(1,\)"),
        ({"frozen": [True] * 6}, r"frozen has shape \(6,\)"),
        ({"frozen": [True, 2]}, "names, a mask, or indices"),
        ({"frozen": ["age", True]}, "names, a mask, or indices"),
        ({"scale": [2.0]}, r"scale has shape \(1,\)"),
        ({"bounds": ([-1.0], 1.0)}, r"bounds has shape \(1,\)"),
        ({"scale": {"agee": 2.0}}, "'agee' is not in the data. Did you mean 'age'"),
        ({"bounds": {"agee": (0, 1)}}, "'agee' is not in the data. Did you mean 'age'"),
        ({"scale": {"age": 2.0, 0: 3.0}}, "scale gives the feature 'age' twice"),
    ],
)
def test_a_threat_model_that_does_not_fit_the_data_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        ThreatModel(**parameters).bind(np.zeros((3, D)), NAMES)


def test_names_need_data_with_names():
    with pytest.raises(ValueError, match="no feature names; give indices or a mask"):
        ThreatModel(frozen=["age"]).bind(np.zeros((3, D)))


def test_what_rounding_puts_beyond_a_bound_is_inside():
    X = np.full((2, D), np.nextafter(1.0, 2.0))
    X[1] = np.nextafter(np.float32(0.1), np.float32(0.0))
    ThreatModel(bounds=(0.1, 1.0)).bind(X, NAMES)
    ThreatModel(bounds=(0.1, np.inf)).bind(X, NAMES)
    with pytest.raises(ValueError, match="1 of 2 rows lie outside"):
        ThreatModel(bounds=(0.1 + 1e-4, np.inf)).bind(X, NAMES)


def test_rows_outside_the_bounds_are_counted_and_the_cure_is_named():
    X = np.full((4, D), 0.5)
    X[1, 2], X[3, 0], X[3, 1] = 1.5, -0.1, 2.0
    with pytest.raises(ValueError, match=r"2 of 4 rows lie outside the bounds.*first is row 1.*Clip X"):
        ThreatModel(bounds=(0, 1)).bind(X)


@pytest.mark.parametrize(
    ("given", "norm"),
    [
        *((value, 2) for value in (2, 2.0, "2", np.int64(2), np.float32(2), np.float64(2))),
        *((value, math.inf) for value in (math.inf, np.inf, "inf", np.float32("inf"), np.float64("inf"))),
    ],
)
def test_every_spelling_of_a_norm_is_kept_as_one_number(given, norm):
    threat = ThreatModel(0.3, given)
    assert threat.norm == norm
    assert type(threat.norm) is type(norm)
    assert as_threat(norm=given) == ThreatModel(norm=norm)
    assert repr(threat) == repr(ThreatModel(0.3, norm))


def test_threat_models_are_equal_by_what_they_allow():
    options = {"bounds": {"age": (0, None)}, "frozen": ["sex"], "scale": np.array([1.0, 2.0])}
    one, other = (ThreatModel(0.3, norm, **copy.deepcopy(options)) for norm in ("inf", math.inf))
    assert one == other
    assert hash(one) == hash(other)
    changes = [{"epsilon": 0.4}, {"norm": 2}, {"bounds": (0, 1)}, {"frozen": None}, {"scale": np.array([1.0, 3.0])}]
    assert all(replace(one, **change) != one for change in changes)
    assert one != 0.3


def test_the_shorthand_builds_a_threat_model():
    default = ThreatModel(0.25, bounds=(0, 1))
    assert as_threat(default=default) is default
    assert as_threat(epsilon=0.1, default=default) == ThreatModel(0.1, bounds=(0, 1))
    assert as_threat(norm="inf", default=default) == ThreatModel(0.25, "inf", bounds=(0, 1))
    threat = ThreatModel(0.1, "inf", frozen=[0])
    assert as_threat(threat, default=default) is threat
    assert as_threat(threat, epsilon=0.1, norm=np.inf) is threat


@pytest.mark.parametrize("shorthand", [{"epsilon": 0.2}, {"norm": 2}, {"epsilon": 0.1, "norm": "2"}])
def test_a_shorthand_that_contradicts_the_threat_model_is_refused(shorthand):
    with pytest.raises(ValueError, match=r"contradicts threat=ThreatModel\(.*; give (epsilon|norm) in the"):
        as_threat(ThreatModel(0.1, "inf"), **shorthand)


def test_units_are_the_scale_without_the_frozen_features():
    X = np.zeros((1, 3))
    threat = ThreatModel(scale={"b": 4.0}, frozen=["c"], bounds=(5, 6))  # X lies outside of the box: it is not used
    np.testing.assert_array_equal(threat.units(X, ["a", "b", "c"]), [1.0, 4.0, 0.0])
    np.testing.assert_array_equal(ThreatModel().units(X), np.ones(3))


@given(cases(boxes=(False,)), st.integers(0, 2**31))
def test_random_points_lie_in_the_ball(case, seed):
    x = torch.zeros(6, *case.space.unit.shape)
    points = case.space.random_points(x, torch.Generator().manual_seed(seed))
    one = case.space.random_point(torch.Generator().manual_seed(seed))
    for delta in (points, one):
        assert (case.length(delta) <= case.threat.epsilon * (1 + 1e-5)).all()
        assert not delta[:, torch.as_tensor(case.frozen)].any()


@pytest.mark.parametrize("m", [1, 3])
def test_gradients_for_several_weights_are_those_for_each(m):
    x = torch.arange(4.0, dtype=torch.float64).reshape(2, 2).requires_grad_()
    weights = torch.randn(m, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    together = input_gradient(x**3, x, weights, batched=True)
    alone = torch.stack([input_gradient(x**3, x, w) for w in weights])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(alone, 3 * x.detach() ** 2 * weights)
    constant = torch.ones(2, 2, dtype=torch.float64)
    assert not input_gradient(constant, x, weights, batched=True).any()
    assert not input_gradient(constant + 0 * x.detach().requires_grad_(), x, weights, batched=True).any()
    assert input_gradient(constant, x).shape == x.shape


@examples
@given(cases(), st.integers(0, 1000))
def test_a_set_for_every_row_is_the_shared_set_where_all_are_alike(case, seed):
    shared, n = case.space, len(case.x)
    parts = {name: getattr(shared, name).expand(n, D).clone() for name in ("low", "high", "unit")}
    # a feature that does not move is where its set says, and here that is the row itself
    x, delta = (torch.tensor(part, dtype=FLOAT) for part in (case.x, case.delta))
    own = RowSets(shared.epsilon, shared.norm, shared.n_free, **parts)
    assert own.feature_shape == shared.feature_shape
    torch.testing.assert_close(own.project(delta, x), shared.project(delta, x), atol=1e-6, rtol=1e-6)
    for name in ("normalize", "ascent"):
        torch.testing.assert_close(getattr(own, name)(delta), getattr(shared, name)(delta))
    one, other = (space.random_direction(torch.Generator().manual_seed(seed)) for space in (own, shared))
    torch.testing.assert_close(one, other.expand(n, D))
    part = own.select(torch.tensor([n - 1]))
    torch.testing.assert_close(part.project(delta[-1:], x[-1:]), own.project(delta, x)[-1:])
    assert shared.select(torch.tensor([0])) is shared


def test_a_set_that_does_not_hold_the_row_moves_it_there():
    low, high = torch.tensor([[0.0, 3.0], [0.5, 3.0]]), torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    unit = torch.tensor([[0.5, 0.0], [0.5, 0.0]])
    x = torch.tensor([[0.5, -1.0], [0.5, 7.0]])
    space = RowSets(1.0, math.inf, 1, low, high, unit)
    moved = x + space.project(torch.tensor([[-9.0, 0.1], [-9.0, 5.0]]), x)
    torch.testing.assert_close(moved, torch.tensor([[0.0, 3.0], [0.5, 3.0]]))
