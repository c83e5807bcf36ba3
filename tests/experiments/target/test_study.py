"""The study of trainings to a target: its grid, its tables and its command."""

import numpy as np
import pandas as pd
import pytest

from robustxai.experiments.target import (
    MODELS,
    TargetStudy,
    __main__,
    gain_kept,
    target_comparison,
    target_fits,
    target_fits_markdown,
    target_markdown,
    target_protocol,
)
from robustxai.experiments.target._tables import of_explanation

FIGURES = ("precision_at_k", "between_rows_precision", "corrected_precision_at_k")
AREAS = {"logistic_regression": (0.8, 0.82), "plain": (0.84, 0.84), "r2et": (0.83, 0.83), "r2et_target": (0.84, 0.82)}


def results():
    row = {"data": "adult", "k": 8, "epsilon": 0.5, "target": 0.95, "n_rows": 1000, "chosen": "x", "fit_seconds": 1.26}
    row |= {"shortfall": 0, "held_out_precision": np.nan}
    row |= {p + name: 0.5 for p in ("", "centered_") for name in FIGURES}
    rows = [
        {**row, "defense": name, "seed": seed, "roc_auc": area}
        for name, areas in {**AREAS, "r2et_target_centered": (0.81, 0.81)}.items()
        for seed, area in enumerate(areas)
    ]
    frame = pd.DataFrame(rows).set_index(["defense", "seed"])
    for name, raw, centered in (("r2et_target", 0.96, 0.8), ("r2et_target_centered", 0.7, 0.97)):
        frame.loc[name, ["held_out_precision", "precision_at_k", "centered_precision_at_k"]] = [0.955, raw, centered]
    frame.loc[("r2et_target", 1), ["shortfall", "precision_at_k"]] = [1, 0.91]
    return frame.reset_index()


def test_the_grid_has_every_model_on_every_table_split_by_split():
    cells = TargetStudy(("adult", "bank", "adult"), seeds=2, k=3, epsilon=0.3, target=0.9, n_rows=7).cells()
    assert [cell.seed for cell in cells] == [0] * 2 * len(MODELS) + [1] * 2 * len(MODELS)
    assert {(c.data, c.defense) for c in cells} == {(data, name) for data in ("adult", "bank") for name in MODELS}
    assert {(c.k, c.epsilon, c.target, c.n_rows) for c in cells} == {(3, 0.3, 0.9, 7)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data": ("adlut",)}, "Did you mean 'adult'"),
        ({"defenses": ("r2te",)}, "Did you mean 'r2et'"),
        ({"target": 1.0}, "target"),
    ],
)
def test_a_wrong_argument_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        TargetStudy(**wrong)


def test_the_gain_that_is_kept_is_a_quotient_of_means():
    found = results()
    assert gain_kept(found, "adult", "plain") == 1
    assert gain_kept(found, "adult", "logistic_regression") == 0
    # gains of 0.03 and 0.01 of 0.04 and 0.02
    assert gain_kept(found, "adult", "r2et") == pytest.approx(2 / 3)
    assert np.isnan(gain_kept(found[found["defense"] != "plain"], "adult", "r2et"))
    assert np.isnan(gain_kept(found.assign(roc_auc=0.5), "adult", "r2et"))


def test_each_explanation_has_its_table():
    raw, centered = target_markdown(results(), {"plain": "**best**"}).split("**Gradients, centered in one-hot groups**")
    lines = [line for line in raw.splitlines() if line.startswith("| adult")]
    assert lines[0].startswith("| adult | logistic regression | 0.8100 ± 0.0141 | 0 % | 0.500 ± 0.000 |")
    assert lines[1].startswith("| adult | **best** |")
    assert "| 67 % |" in lines[2]
    assert "| 0.955 ± 0.000 | 1 of 2 | 1.3 ± 0.0 |" in lines[3]
    assert "| - | - | 1.3" in lines[0]
    assert len(lines) == 4
    assert "| below -1 |" in target_markdown(results().assign(corrected_precision_at_k=-9.0))
    lines = [line for line in centered.splitlines() if line.startswith("| adult")]
    assert len(lines) == 3
    assert lines[2].startswith("| adult | R2ET to the target | 0.8100 ± 0.0000 | 0 % | 0.970 ± 0.000 |")
    assert "adult (2 splits); 1,000 test rows" in target_protocol(results())


def test_the_fits_are_judged_by_what_they_were_trained_on():
    found = target_fits(results())
    assert found == (4, 1, pytest.approx((0.96 + 0.97 + 0.97) / 3), 0.96, 0.91)
    assert "Of 4 fits to 0.95, 1 announced a shortfall. The others have a mean P@k of 0.967" in target_fits_markdown(
        results()
    )
    short = results().assign(shortfall=1)
    assert target_fits_markdown(short).endswith("Their lowest P@k on test rows is 0.910.")
    assert target_fits_markdown(short.assign(held_out_precision=np.nan)) == ""


def test_the_comparison_is_from_the_best_network():
    found = target_comparison(results())
    assert "less best network" in found
    assert "| R2ET to the target, centered | -3.00 [" in found
    assert target_comparison(results()[lambda rows: rows["defense"] != "plain"]) == ""


def test_the_command_writes_the_rows_their_page_and_their_figures(monkeypatch, tmp_path, capsys, plt):
    seen = []
    monkeypatch.setattr(TargetStudy, "run", lambda self, out, **options: seen.append((self, options)) or results())
    __main__.main([str(tmp_path), "--data", "bank,compas", "--defenses", "r2et", "--seeds", "2", "--n-rows", "9"])
    assert seen == [(TargetStudy(("bank", "compas"), ("r2et",), 2, n_rows=9), {"n_jobs": 1})]
    assert len(pd.read_csv(tmp_path / "target.csv")) == len(results())
    assert (tmp_path / "target.md").read_text().strip() == capsys.readouterr().out.strip()
    assert {path.name for path in tmp_path.glob("*.png")} == {"frontier-adult.png", "frontier-adult-centered.png"}


@pytest.mark.parametrize(("prefix", "target"), [("", "r2et_target"), ("centered_", "r2et_target_centered")])
def test_an_explanation_has_its_models_and_its_figures(prefix, target):
    shown = of_explanation(results(), prefix)
    assert set(shown["defense"]) == {*("logistic_regression", "plain", "r2et_target"), *(() if prefix else ("r2et",))}
    assert set(shown.loc[shown["defense"] == "r2et_target", "model"]) == {target}
    expected = results()[lambda rows: rows["defense"] == target][prefix + "precision_at_k"]
    assert list(shown.loc[shown["model"] == target, "precision_at_k"]) == list(expected)
