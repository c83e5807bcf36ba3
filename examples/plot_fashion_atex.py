"""ATEX on Fashion-MNIST: stable explanations without second derivatives.

A softplus network is fine-tuned by ATEX to say beside a point what it says at the point; the curve shows how much of
the 50 most important pixels is left as the attack may move every pixel further. Two minutes on two cores.

    python examples/plot_fashion_atex.py --out fashion_atex.png
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from robustxai import ATEXClassifier, SoftplusClassifier
from robustxai.attacks import ERAttack
from robustxai.datasets import load_fashion_mnist
from robustxai.inspection import StabilityCurveDisplay
from robustxai.perturbation import ThreatModel

K = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000, help="images to train on")
    parser.add_argument("--epochs", type=int, default=6, help="passes over them, and half as many for ATEX")
    parser.add_argument("--attacked", type=int, default=20, help="test images that are attacked")
    parser.add_argument("--out", default="fashion_atex.png", help="file of the figure")
    args = parser.parse_args()

    X, y = load_fashion_mnist(subset="train", n_rows=args.images, return_X_y=True)
    X_test, y_test = load_fashion_mnist(subset="test", n_rows=500, return_X_y=True)
    shuffled = np.random.default_rng(0).permutation(len(X_test))
    X_test, y_test = X_test[shuffled], y_test[shuffled]

    # images need no more words: the shape of X asks for a ConvNet
    network: dict[str, Any] = {"module__channels": (16, 32), "module__beta": 3.0}
    common: dict[str, Any] = {"batch_size": 50, "explainer": "logit_gradient", **network}
    softplus = SoftplusClassifier(lr=0.002, max_epochs=args.epochs, **common).fit(X, y)
    atex = ATEXClassifier(
        init=softplus,  # the teacher, and where the student begins
        epsilon=2.0,
        epsilon_across=20.0,  # far across the explanation, and not so far along it
        alpha=2.0,
        n_along=1,
        n_across=2,
        n_draws=4,
        lr=0.005,
        max_epochs=max(args.epochs // 2, 1),
        **common,
    )
    models = {"Softplus": softplus, "ATEX": atex.fit(X, y)}

    radii = (0.02, 0.04, 0.08)
    print("model     accuracy  " + "  ".join(f"P@50 at {radius}" for radius in radii))
    curves: dict[str, Any] = {}
    accuracies: dict[str, float] = {}
    for name, model in models.items():
        accuracies[name] = model.score(X_test, y_test)
        attacks = [ERAttack(model, k=K, threat=ThreatModel(r, norm="inf", bounds=(0, 1)), max_iter=30) for r in radii]
        curves[name] = [attack.run(X_test[: args.attacked]).precision_at_k.mean() for attack in attacks]
        print(f"{name:9} {accuracies[name]:.3f}     " + "         ".join(f"{value:.3f}" for value in curves[name]))
    display = StabilityCurveDisplay.from_curves(curves, radii, k=K, scores=accuracies, norm="inf")
    display.figure_.savefig(args.out, dpi=150, bbox_inches="tight")
    print(f"figure    {args.out}")


if __name__ == "__main__":
    main()
