"""The images of the ATEX paper: the arms are what they say, figures are those of the models, the table is right."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from robustxai.attacks import TopKManipulation
from robustxai.experiments.atex import (
    IMAGE_ARMS,
    IMAGE_ATTACKS,
    SIZES,
    ATEXImages,
    ImageCell,
    Size,
    _images,
    _images_models,
    atex_images_markdown,
    atex_images_summary,
    image_curves,
    run_image_cell,
)
from robustxai.metrics import spearman_correlation, top_k_intersection
from robustxai.perturbation import ThreatModel

METRICS = [
    f"{metric}_{attack}_{epsilon:g}"
    for metric in ("rank_correlation", "top_k_intersection", "ssim")
    for attack in IMAGE_ATTACKS
    for epsilon in _images.EPSILONS
]
CELL = ImageCell("mnist", "atex_0.08", 0, "tiny")
TUNED = ("plain", "atex_0.08", "atex_wider", "atex_code", "r2et")


def images(n_rows=None, subset="train", random_state=0, return_X_y=True):
    """Two kinds of bars with noise, in the form of the real images."""
    n_rows = n_rows or 300
    rng = np.random.default_rng([random_state, subset == "test"])
    y = np.arange(n_rows) % 2
    X = rng.uniform(0, 0.4, size=(n_rows, 1, 28, 28))
    X[y == 0, :, 8:12, 4:24] += 0.5
    X[y == 1, :, 4:24, 14:18] += 0.5
    return X.astype(np.float32), y


@pytest.fixture(autouse=True)
def _small_world(monkeypatch):
    monkeypatch.setitem(
        SIZES, "tiny", Size(64, 40, 8, 3, max_epochs=2, fine_tuning=1, n_tuned=48, n_across=1, n_draws=2)
    )
    monkeypatch.setitem(_images_models._COMMON, "module__channels", (4, 8))
    for name in ("mnist", "fashion_mnist"):
        monkeypatch.setitem(_images_models.IMAGE_DATA, name, images)
    for cache in (_images_models.image_rows, _images_models.pretrained):
        cache.cache_clear()
    yield
    for cache in (_images_models.image_rows, _images_models.pretrained):
        cache.cache_clear()


def fitted(cell):
    return _images_models.fitted_arm(cell.arm, cell.data, cell.seed, cell.size, cell.part)


def weights(model):
    return torch.cat([value.detach().flatten() for value in model.module_.parameters()])


def test_the_tuned_arms_start_from_one_model_and_leave_it_alone():
    teacher = fitted(replace(CELL, arm="softplus"))
    before = weights(teacher).clone()
    models = [fitted(replace(CELL, arm=arm)) for arm in TUNED]
    assert torch.equal(weights(teacher), before)
    for number, model in enumerate(models):
        assert len(model.history_) == SIZES["tiny"].fine_tuning
        assert (weights(model) - before).norm() < before.norm()
        for other in (teacher, *models[:number]):
            assert not torch.equal(weights(model), weights(other))
    terms = [{"distillation", "tangent", "gap", "hessian"} & set(model.history_[-1]) for model in models]
    assert terms == [set(), *[{"distillation", "tangent"}] * 2, {"tangent"}, {"gap", "hessian"}]


@pytest.mark.parametrize("epsilon", _images.EPSILONS)
def test_the_paper_s_atex_moves_as_far_as_the_attack_and_is_attacked_there_only(epsilon):
    cell = replace(CELL, arm=f"atex_{epsilon:g}")
    estimator = _images_models.image_estimator(cell.arm, 0, SIZES["tiny"])
    assert (estimator.epsilon, estimator.epsilon_across) == (epsilon, None)
    assert (estimator.temperature, estimator.variant) == (1.0, "paper")
    assert cell.epsilons == (epsilon,)
    assert replace(CELL, arm="atex_wider").epsilons == _images.EPSILONS


def test_a_cell_is_the_same_again():
    first = run_image_cell(CELL)
    assert {name for name in METRICS if name in first} == {name for name in METRICS if name.endswith("_0.08")}
    for cache in (_images_models.image_rows, _images_models.pretrained):
        cache.cache_clear()
    again = run_image_cell(CELL)
    assert {**first, "fit_seconds": 0} == {**again, "fit_seconds": 0}
    other, name = run_image_cell(replace(CELL, seed=1)), "rank_correlation_untargeted_0.08"
    assert other[name] != first[name]


def test_figures_are_those_of_the_model():
    cell = replace(CELL, arm="softplus")
    row = run_image_cell(cell)
    model = fitted(cell)
    _, (X, y) = _images_models.image_rows("mnist", 0, "tiny", "test")
    assert row["accuracy"] == model.score(X, y)
    assert row["n_rows"] == 8
    threat = ThreatModel(0.08, norm="inf", bounds=(0.0, 1.0))
    step = 5 * 0.08 / 3
    attack = TopKManipulation(model, k=50, threat=threat, max_iter=3, step_size=step, momentum=0.0, keep="last")
    result = attack.run(X[:8])
    assert np.abs(result.X_adv - X[:8]).max() == pytest.approx(0.08, abs=1e-6)
    pair = (result.attribution, result.attribution_adv)
    assert row["rank_correlation_untargeted_0.08"] == pytest.approx(spearman_correlation(*pair).mean())
    assert row["top_k_intersection_untargeted_0.08"] == pytest.approx(top_k_intersection(*pair, 50).mean())
    for name in METRICS:
        if "_strongest_" in name:
            assert row[name] <= min(row[name.replace("strongest", attack)] for attack in ("untargeted", "targeted"))


def test_a_linear_model_cannot_be_moved():
    row = run_image_cell(replace(CELL, arm="logistic_regression"))
    assert {row[name] for name in METRICS} == {1.0}
    assert row["accuracy"] > 0.9
    assert row["comprehensiveness"] > 0


def test_a_region_is_a_square_of_five_pixels_and_every_row_has_one(monkeypatch):
    seen = []

    class Attack(_images.TargetedManipulation):
        def run(self, X, y=None):
            seen.append((np.array(self.target_units).reshape(28, 28), len(X)))
            return super().run(X, y)

    monkeypatch.setattr(_images, "TargetedManipulation", Attack)
    run_image_cell(replace(CELL, arm="softplus"))
    places = {tuple(np.argwhere(mask)[0]) for mask, _ in seen}
    assert len(places) == 4  # the same at every radius
    assert sum(n for _, n in seen) == 3 * 8
    for mask, _ in seen:
        top, left = np.argwhere(mask)[0]
        assert mask[top : top + 5, left : left + 5].sum() == mask.sum() == 25


def test_rows_of_a_targeted_result_stay_in_place():
    cell = replace(CELL, arm="softplus")
    model = fitted(cell)
    _, (X, _) = _images_models.image_rows("mnist", 0, "tiny", "test")
    options = {"k": 50, "threat": ThreatModel(0.04, norm="inf", bounds=(0.0, 1.0)), "max_iter": 2}
    result = _images._targeted(_images.TargetedManipulation(model, **options), X[:7], 0)
    assert np.abs(result.X_adv - X[:7]).max() == pytest.approx(0.04, abs=1e-6)
    np.testing.assert_allclose(result.attribution, model.explain(X[:7]), atol=1e-6)


def test_validation_images_are_training_images_that_nobody_trains_on(monkeypatch):
    def numbered(n_rows=None, subset="train", **_):
        X = np.arange(100, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 28, 28), np.float32)
        assert subset == "train"
        return X, np.arange(100) % 2

    monkeypatch.setitem(_images_models.IMAGE_DATA, "mnist", numbered)
    monkeypatch.setitem(SIZES, "tiny", Size(60, 40, 8, 3, max_epochs=1, fine_tuning=1, n_tuned=48, n_across=1))
    (X, y), (X_valid, y_valid) = _images_models.image_rows("mnist", 0, "tiny", "validation")
    numbers, valid = X[:, 0, 0, 0], X_valid[:, 0, 0, 0]
    assert len({*numbers, *valid}) == 100
    assert (len(numbers), len(valid)) == (60, 40)
    assert (y == numbers % 2).all()
    assert (y_valid == valid % 2).all()


def test_the_name_has_everything_that_the_result_depends_on(monkeypatch):
    changes = {"data": "fashion_mnist", "arm": "plain", "seed": 1, "size": "small", "part": "validation"}
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    monkeypatch.setitem(_images_models._PARAMS, CELL.arm, {"epsilon": 0.08, "n_along": 2})
    names.add(CELL.name)
    monkeypatch.setitem(SIZES, "tiny", replace(SIZES["tiny"], max_iter=4))
    assert len({*names, CELL.name}) == len(changes) + 3


def cells_of(text, start):
    """Return the cells of the table line that begins with `start`, by heading."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    number = next(n for n, line in enumerate(table) if line.startswith(start))
    heads = next(line for line in table[number::-1] if line.startswith(("| epsilon", "| arm")))
    return dict(zip(*([cell.strip() for cell in line.split("|")] for line in (heads, table[number]))))


def test_the_whole_in_small_and_again(tmp_path):
    study = ATEXImages(("mnist",), seeds=2, size="tiny", arms=("softplus", "atex_0.08", "logistic_regression"))
    seen = []
    results = study.run(tmp_path, progress=lambda done, total, row: seen.append((done, total, row["arm"])))
    assert len(results) == len(study.cells()) == 6 == seen[-1][1]
    assert np.isfinite(results[results["arm"] == "softplus"][METRICS]).all(axis=None)
    pd.testing.assert_frame_equal(study.run(tmp_path), results)
    text = atex_images_markdown(results)
    assert "64 training images, 2 passes, and 1 more over 48 of these images" in text
    table = [line for line in text.splitlines() if line.startswith("| 0")]
    assert len(table) == 3 * 2 + 1  # ATEX has a model at one radius
    cells = cells_of(text, "| 0.08 | ATEX |")
    rows = results[results["arm"] == "atex_0.08"]
    for heading, column, published in (
        ("untargeted: rank corr.", "rank_correlation_untargeted_0.08", 0.783),
        ("targeted: top-50", "top_k_intersection_targeted_0.08", 0.766),
    ):
        values = rows[column]
        difference = values.mean() - published
        assert cells[heading] == f"{values.mean():.3f} ± {values.std():.3f} ({published:.3f}, {difference:+.3f})"
    mean = rows["accuracy"].mean()
    assert cells["accuracy"].endswith(f"(0.988, {mean - 0.988:+.3f}; 0.987, {mean - 0.987:+.3f})")
    values = rows["top_k_intersection_strongest_0.08"]
    assert cells["strongest: top-50"] == f"{values.mean():.3f} ± {values.std():.3f}"
    assert "(0.732, " in cells_of(text, "| 0.02 | softplus |")["untargeted: top-50"]
    assert "(" not in cells_of(text, "| 0.02 | logistic regression |")["untargeted: top-50"]
    figure_2 = cells_of(text, "| ATEX, Delta 0.08 |")["Figure 2: SSIM, normal SmoothGrad"]
    assert figure_2 == f"{rows['smoothness'].mean():.3f} ± {rows['smoothness'].std():.3f}"
    summary = atex_images_summary(results)
    gain = rows["rank_correlation_untargeted_0.08"].mean()
    gain -= results.loc[results["arm"] == "softplus", "rank_correlation_untargeted_0.08"].mean()
    assert f"untargeted {gain:+.3f} / " in summary
    assert "The paper prints untargeted +0.078 / +0.132, targeted +0.077 / +0.088" in summary


def test_without_the_paper_s_atex_its_figures_stand_alone_and_its_curve_has_one_model_a_radius():
    columns = {name: [0.9, 0.8] for name in METRICS}
    measured = dict.fromkeys(("accuracy", "smoothness", "own_smoothness", "between_rows_precision"), 0.5)
    frame = pd.DataFrame(
        {"data": "mnist", "arm": "atex_wider", "seed": [0, 1], "size": "tiny", "part": "test", **columns}
    )
    text = atex_images_markdown(frame.assign(n_rows=2, comprehensiveness=0.5, sufficiency=0.5, **measured))
    cells = cells_of(text, "| 0.08 | ATEX (paper) |")
    assert cells["untargeted: top-50"] == "(0.808)"
    assert cells["strongest: top-50"] == "-"
    assert "(" not in cells_of(text, "| 0.08 | ATEX, wider |")["untargeted: top-50"]
    own = []
    for number, epsilon in enumerate(_images.EPSILONS):
        known = {name: values for name, values in columns.items() if name.endswith(f"_{epsilon:g}")}
        part = pd.DataFrame(
            {"data": "mnist", "arm": f"atex_{epsilon:g}", "seed": [0, 1], "size": "tiny", "part": "test"}
        )
        own.append(part.assign(**{name: np.array(values) - 0.1 * number for name, values in known.items()}))
    curves = image_curves(pd.concat([frame, *own]))
    np.testing.assert_allclose(curves["ATEX"], [[0.9, 0.8, 0.7], [0.8, 0.7, 0.6]])
    np.testing.assert_allclose(curves["ATEX, wider"], [[0.9] * 3, [0.8] * 3])


def test_defaults_are_both_data_sets_and_every_arm():
    study = ATEXImages()
    assert len(study.cells()) == 2 * 3 * len(IMAGE_ARMS) == len({cell.name for cell in study.cells()})
    assert "logistic_regression" in IMAGE_ARMS
    full = SIZES["full"]
    assert (full.n_train, full.n_tuned, full.n_rows) == (60_000, 60_000, 1_000)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": ("mnits",)}, "Did you mean 'mnist'"),
        ({"data": ()}, "data is empty"),
        ({"arms": ()}, "arms is empty"),
        ({"arms": ("atx_code",)}, "Did you mean 'atex_code'"),
        ({"size": "smal"}, "Did you mean 'small'"),
        ({"part": "train"}, "part"),
        ({"seeds": 0}, "seeds must be"),
    ],
)
def test_what_makes_no_sense_is_refused(change, match):
    with pytest.raises(ValueError, match=match):
        ATEXImages(**change)
