"""The experiments of the R2ET paper: the choice of weights, the figure of merit, the tables, the whole in small."""

import json

import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import METHODS, R2ETPaper, _paper, figure_of_merit, paper_markdown
from robustxai.benchmark._published import PUBLISHED
from robustxai.benchmark._registry import ATTACKS


def test_every_method_with_a_choice_has_the_same_number_of_candidates():
    sizes = {len(method.candidates) for method in METHODS.values() if method.candidates != ((),)}
    assert len(sizes) == 1
    for name, method in METHODS.items():
        assert len(set(method.candidates)) == len(method.candidates), name


def test_published_figures_cover_three_tables_and_lie_in_their_range():
    for table, size in ((1, 2), (2, 1), (3, 3), (4, 2)):
        for method, figures in PUBLISHED[table].items():
            assert list(figures) == ["adult", "bank", "compas"], method
            values = np.array(list(figures.values()))
            assert values.shape == (3, size)
            assert (values >= 0).all()
            assert (values <= (100 if table in (1, 4) else 1)).all()


def searched(study, value):
    """Rows as run_cells would return them, scores from `value(method, params)`."""
    rows = []
    for cell, name in zip(study.search_cells(), study._labels(study.search_cells())):
        auc, precision = value(name, dict(cell.params))
        rows.append({"data": cell.data, "roc_auc": auc, "precision_at_k": precision})
    return pd.DataFrame(rows)


def test_the_most_stable_candidate_within_a_point_of_vanilla_wins():
    study = R2ETPaper(data=("adult", "compas"), methods=("Logistic regression", "Vanilla", "SP"))

    def value(name, params):
        if name == "Logistic regression":
            return 0.85, 1.0
        if name == "Vanilla":
            return 0.90 if params["lr"] == 0.005 else 0.80, 0.5
        return {0.3: (0.8899, 1.0), 0.5: (0.8901, 0.9), 1.0: (0.91, 0.8)}.get(params["beta"], (0.92, 0.1))

    chosen = study.choose(searched(study, value))
    assert set(chosen) == {(d, m) for d in ("adult", "compas") for m in study.methods}
    assert dict(chosen["adult", "SP"]) == {"beta": 0.5}
    assert dict(chosen["compas", "Vanilla"])["lr"] == 0.005


def test_where_no_candidate_is_admissible_the_best_auc_wins():
    study = R2ETPaper(data=("bank",), methods=("Logistic regression", "Vanilla", "SP"))
    chosen = study.choose(
        searched(study, lambda name, params: (0.6 + params["beta"] / 100, 1.0) if name == "SP" else (0.9, 0.5))
    )
    assert dict(chosen["bank", "SP"]) == {"beta": 5.0}


def test_validation_leaves_the_test_rows_alone_and_retraining_the_rest():
    study = R2ETPaper()
    assert {cell.part for cell in study.search_cells()} == {"validation"}
    chosen = {(d, m): METHODS[m].candidates[0] for d in study.data for m in study.methods}
    random, retrained = study.test_cells(chosen), study.test_cells(chosen, "vanilla")
    assert {cell.part for cell in (*random, *retrained)} == {"test"}
    assert len(random) == 3 * 5 * len(METHODS)
    assert len(retrained) == 3 * 5 * sum(method.retrained for method in METHODS.values())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": ("adlt",)}, "Did you mean 'adult'"),
        ({"methods": ("Vanilla", "R2ET-m")}, "Did you mean 'R2ET-mm'"),
        ({"methods": ("Vanilla", "SP")}, "against Logistic regression"),
    ],
)
def test_unknown_names_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        R2ETPaper(**change)


def test_merit_is_the_share_of_the_gap_where_stable():
    rows = pd.DataFrame(
        {
            "method": ["Logistic regression", "Vanilla", "WD", "SP", "R2ET", "R2ET"],
            "roc_auc": [0.80, 0.90, 0.88, 0.86, 0.84, 0.86],
            "precision_at_k": [1.0, 0.4, 0.5, 0.9, 0.96, 0.98],
        }
    )
    merit = figure_of_merit(rows)
    assert merit["R2ET"] == pytest.approx((0.85 - 0.80) / (0.90 - 0.80))
    assert merit["Logistic regression"] == pytest.approx(0)
    assert merit[["Vanilla", "WD", "SP"]].isna().all()
    below = rows.assign(roc_auc=[0.95, 0.90, 0.88, 0.86, 0.84, 0.86])
    assert figure_of_merit(below).isna().all()


def test_the_whole_in_small(tmp_path, monkeypatch):
    small = {
        name: _paper.Method(
            METHODS[name].defence,
            tuple((*params, ("max_epochs", 1)) for params in METHODS[name].candidates[:2]),
            METHODS[name].retrained,
        )
        for name in ("Logistic regression", "Vanilla", "R2ET")
    }
    monkeypatch.setattr(_paper, "METHODS", small)
    published = ATTACKS["er_paper"]
    for name in ("er_paper", "mse_paper"):
        monkeypatch.setitem(ATTACKS, name, lambda *args: published(*args).set_params(max_iter=3))
    study = R2ETPaper(data=("breast_cancer",), methods=tuple(small), seeds=2, n_attacked=20)
    results = study.run(tmp_path)
    assert len(list((tmp_path / "cells").iterdir())) == 1 + 2 + 2 + 2 * 3 + 2
    assert results.groupby("start").size().to_dict() == {"random": 6, "vanilla": 2}
    chosen = json.loads(results.loc[results["method"] == "R2ET", "params"].iloc[0])
    assert tuple(chosen.items()) in small["R2ET"].candidates
    text = paper_markdown(results)
    for number in (1, 2, 3, 4):
        assert f"Table {number}" in text
    rows = results[(results["method"] == "Vanilla") & (results["start"] == "random")]
    assert f"{rows['roc_auc'].mean():.4f} ± {rows['roc_auc'].std():.4f}" in text
    assert paper_markdown(results, [2]).count("**Table") == 1
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    again = study.run(tmp_path)
    pd.testing.assert_frame_equal(again, results)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
