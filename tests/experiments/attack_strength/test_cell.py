"""The attack on every pair: its objective, the comparison row by row, the name and the table."""

import runpy
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from robustxai.attacks import Reference
from robustxai.benchmark import DEFENSES, BaseCell
from robustxai.experiments.attack_strength import StrengthCell, _cell, run_strength_cell, strength_markdown
from robustxai.experiments.attack_strength._pair_attack import PairAttack
from robustxai.explainers import ScaledAttribution

CELL = StrengthCell("breast_cancer", "softplus", 0, k=2, n_rows=5, max_iter=2, n_outsiders=3)


@pytest.fixture(scope="module")
def row():
    with pytest.MonkeyPatch.context() as patch:
        make = DEFENSES["softplus"]
        patch.setitem(DEFENSES, "softplus", lambda *args: make(*args).set_params(max_epochs=5))
        patch.setattr(_cell, "_PRESET", "fast")
        yield run_strength_cell(CELL)


@pytest.mark.parametrize(("weakness", "rank"), [(1, 1), (2, 3), (3, 2)])
def test_the_objective_is_the_gap_of_one_pair(weakness, rank):
    generator = torch.Generator().manual_seed(0)
    clean, moved = torch.randn(2, 4, 6, generator=generator)
    reference = Reference.of(ScaledAttribution(clean, None), 3, "magnitude")
    found = PairAttack(weakness=weakness, rank=rank).objective(moved, reference)
    for value, before, after in zip(found, clean.abs().numpy(), moved.abs().numpy()):
        order = np.argsort(-before)
        a, b = order[:3][::-1][weakness - 1], order[3:][rank - 1]
        assert float(value) == pytest.approx((after[b] - after[a]) / after.mean(), rel=1e-5)


def test_both_ways_are_compared_row_by_row(row):
    assert row["n_pairs"] == 2 * 3
    assert row["n_rows"] == 5
    assert row["precision_at_k_pairs"] <= row["precision_at_k_nearest"] <= 1
    lower = min(row["precision_at_k_auto"], row["precision_at_k_pairs"])
    assert 0 <= row["precision_at_k_both"] <= lower
    if row["pairs_lower"] == 0:
        assert row["precision_at_k_both"] == pytest.approx(row["precision_at_k_auto"])
    assert row["auto_lower"] + row["pairs_lower"] <= 1


def test_the_table_has_a_line_per_model(row):
    table = pd.DataFrame([row, {**row, "seed": 1, "roc_auc": row["roc_auc"] - 0.1}, {**row, "defense": "vanilla"}])
    lines = strength_markdown(table).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith(f"| breast_cancer | softplus | 6 | {row['roc_auc'] - 0.05:.4f} |")
    assert "P@2 pairs" in lines[0]


def test_the_name_has_every_field():
    changes = {"data": "compas", "defense": "vanilla", "seed": 1, "k": 3, "epsilon": 0.2, "n_rows": 6, "max_iter": 3}
    changes["n_outsiders"] = 4
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    assert len(names) == len(changes) + 1
    assert isinstance(CELL, BaseCell)


def test_the_command_runs_every_defense_on_every_table(monkeypatch, tmp_path, row, capsys):
    seen = []

    def run(cells, out, run, n_jobs):
        seen.extend((cell.data, cell.defense, cell.seed) for cell in cells)
        return pd.DataFrame([row])

    monkeypatch.setattr("robustxai.benchmark.run_cells", run)
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "--data", "adult,bank", "--defenses", "r2et", "--seeds", "2"])
    runpy.run_module("robustxai.experiments.attack_strength", run_name="__main__")
    assert set(seen) == {(data, "r2et", seed) for data in ("adult", "bank") for seed in range(2)}
    assert (tmp_path / "attack-strength.csv").exists()
    assert "| 6 |" in capsys.readouterr().out
