"""Which connections of a brain speak for a diagnosis, and would the same ones be shown after a tiny change?

Graphs are adjacency matrices, here correlations between 116 brain regions of 182 subjects (ABIDE, one site). The labels
are hard to predict from them, for any method; the table says how hard. Two minutes on two cores; needs the extra
``graph``.

    python examples/plot_connectome_graphs.py --out connectome_graphs.png
"""

from __future__ import annotations

import argparse
from typing import Any

from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from robustxai import LinearClassifier, R2ETClassifier, VanillaClassifier
from robustxai.attacks import BoundaryMarginAttack
from robustxai.datasets import load_abide
from robustxai.inspection import SaliencyDisplay
from robustxai.perturbation import ThreatModel

K = 50  # entries of a symmetric matrix: 25 connections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the subjects")
    parser.add_argument("--attacked", type=int, default=15, help="test subjects that are attacked")
    parser.add_argument("--out", default="connectome_graphs.png", help="file of the figure")
    args = parser.parse_args()

    X, y = load_abide(site="nyu", return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)

    # adjacency matrices need no more words: the shape of X asks for a graph network
    common: dict[str, Any] = {"lr": 0.005, "batch_size": 32}
    half = args.epochs // 2
    models = {
        "Vanilla": VanillaClassifier(max_epochs=args.epochs, **common),
        "R2ET": R2ETClassifier(
            k=K,
            n_pairs=20,
            lambda_gap=0.003,
            lambda_hessian=0.05,
            module__beta=30.0,
            warm_up_epochs=half,
            max_epochs=args.epochs - half,
            **common,
        ),
    }
    attack = BoundaryMarginAttack(k=K, threat=ThreatModel(epsilon=1.0, bounds=(-1, 1)), max_iter=30)
    print("model                AUC    P@50")
    linear = LinearClassifier(C=0.01).fit(X.reshape(len(X), -1), y)
    auc = roc_auc_score(y_test, linear.predict_proba(X_test.reshape(len(X_test), -1))[:, 1])
    print(f"logistic regression  {auc:.3f}  1.000")
    for name, model in models.items():
        model.fit(X, y)
        auc = roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
        precision = attack.set_params(estimator=model).run(X_test[: args.attacked]).precision_at_k.mean()
        print(f"{name:20} {auc:.3f}  {precision:.3f}")
    display = SaliencyDisplay.from_estimators(models, X_test[:1], attack=attack.set_params(estimator=None), k=K)
    display.figure_.savefig(args.out, dpi=150, bbox_inches="tight")
    print(f"figure               {args.out}")


if __name__ == "__main__":
    main()
