"""Tune R2ET with Optuna: stability and AUC as two objectives, on COMPAS, in a couple of minutes.

Run it with the environment variable ROBUSTXAI_DATA naming a folder that holds ``compas/compas.csv.gz``:

    python examples/tune_with_optuna.py --trials 15
"""

from __future__ import annotations

import argparse

import optuna
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from robustxai import R2ETClassifier
from robustxai.attacks import BoundaryMarginAttack
from robustxai.datasets import load_compas, make_preprocessor
from robustxai.model_selection import RobustnessScorer
from robustxai.perturbation import ThreatModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=15)
    trials = parser.parse_args().trials

    X, y = load_compas(return_X_y=True)
    attack = BoundaryMarginAttack(k=8, threat=ThreatModel(epsilon=0.5, bounds=(0, 1)), max_iter=30)
    scorer = RobustnessScorer(attack, n_rows=300, n_draws=5)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        model = R2ETClassifier(
            k=8,
            lambda_gap=trial.suggest_float("lambda_gap", 1e-4, 1e-1, log=True),
            lambda_hessian=trial.suggest_float("lambda_hessian", 1e-3, 1e-1, log=True),
            module__beta=trial.suggest_float("beta", 1.0, 5.0, log=True),
            max_epochs=20,
        )
        scores = cross_validate(make_pipeline(make_preprocessor(X), model), X, y, cv=3, scoring=scorer)
        return scores["test_roc_auc"].mean(), scores["test_precision_at_k"].mean()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials, show_progress_bar=True)
    print("AUC     P@8    parameters of the Pareto front")
    for trial in sorted(study.best_trials, key=lambda t: t.values[0]):
        print(f"{trial.values[0]:.4f}  {trial.values[1]:.3f}  { {n: round(v, 4) for n, v in trial.params.items()} }")


if __name__ == "__main__":
    main()
