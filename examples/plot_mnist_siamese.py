"""Are these two digits the same? Saliency maps of a Siamese network before and after an attack.

An ordinary network and one trained by R2ET look at the same pairs of MNIST digits; an attack moves the most important
pixels without changing the answer. Two minutes on two cores; more pairs and epochs make better models.

    python examples/plot_mnist_siamese.py --out mnist_siamese.png
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.attacks import BoundaryMarginAttack
from robustxai.datasets import load_mnist, make_pairs
from robustxai.inspection import SaliencyDisplay
from robustxai.perturbation import ThreatModel

K = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=2000, help="digits to train on")
    parser.add_argument("--pairs", type=int, default=5000, help="pairs of them")
    parser.add_argument("--epochs", type=int, default=6, help="passes over the pairs")
    parser.add_argument("--attacked", type=int, default=20, help="test pairs that are attacked")
    parser.add_argument("--out", default="mnist_siamese.png", help="file of the figure")
    args = parser.parse_args()

    digits, labels = load_mnist(subset="train", n_rows=args.digits, return_X_y=True)
    unseen, unseen_labels = load_mnist(subset="test", n_rows=200, return_X_y=True)
    train = make_pairs(digits, labels, n_pairs=args.pairs)
    # a digit that was not trained on is compared with digits that were
    test = make_pairs(
        np.concatenate([digits, unseen]),
        np.concatenate([labels, unseen_labels]),
        items=np.arange(len(digits), len(digits) + len(unseen)),
        partners=np.arange(len(digits)),
        n_pairs=400,
    )

    # pairs of images need no more words: the shape of X asks for a Siamese network
    common: dict[str, Any] = {"lr": 0.002, "batch_size": 64}
    common["module__encoder_params"] = {"channels": (16, 32), "hidden": (64,), "pool": "average"}
    half = args.epochs // 2
    models = {
        "Vanilla": VanillaClassifier(max_epochs=args.epochs, **common),
        "R2ET": R2ETClassifier(
            k=K,
            n_pairs=None,  # all k of the minimal pairs
            lambda_gap=0.01,
            lambda_hessian=0.05,
            module__beta=10.0,
            warm_up_epochs=half,
            max_epochs=args.epochs - half,
            **common,
        ),
    }
    attack = BoundaryMarginAttack(k=K, threat=ThreatModel(epsilon=1.0, bounds=(0, 1)), max_iter=30)
    print("model    AUC    P@50")
    for name, model in models.items():
        model.fit(train.X, train.y)
        auc = roc_auc_score(test.y, model.predict_proba(test.X)[:, 1])
        precision = attack.set_params(estimator=model).run(test.X[: args.attacked]).precision_at_k.mean()
        print(f"{name:8} {auc:.3f}  {precision:.3f}")
    display = SaliencyDisplay.from_estimators(models, test.X[:1], attack=attack.set_params(estimator=None), k=K)
    display.figure_.savefig(args.out, dpi=150, bbox_inches="tight")
    print(f"figure   {args.out}")


if __name__ == "__main__":
    main()
