"""A stand-in for a fitted classifier: the attributes the metrics name, and nothing else."""

import numpy as np
import torch


def probability_gradient(module, x, target, *, logits=None, create_graph=False):
    """Gradient of the softmax probability of the target class."""
    logits = module(x) if logits is None else logits
    chosen = logits.softmax(dim=1).gather(1, target[:, None]).sum()
    return torch.autograd.grad(chosen, x, create_graph=create_graph)[0]


def logit_gradient(module, x, target, *, logits=None, create_graph=False):
    """Gradient of the logit of the target class."""
    logits = module(x) if logits is None else logits
    return torch.autograd.grad(logits.gather(1, target[:, None]).sum(), x, create_graph=create_graph)[0]


class Double:
    """Explains and predicts with a torch module; labels are strings unless `classes` says otherwise."""

    def __init__(self, module, explainer=probability_gradient, classes=("a", "b", "c")):
        self.module_, self.explainer_, self.device_ = module.eval(), explainer, torch.device("cpu")
        self.classes_ = np.array(classes)
        self.dtype = next((p.dtype for p in module.parameters()), torch.float64)

    def predict_proba(self, X):
        with torch.no_grad():
            logits = self.module_(torch.tensor(np.asarray(X), dtype=self.dtype))
        return logits.double().softmax(dim=1).numpy()

    def explain(self, X, y=None):
        if y is None:
            target = self.predict_proba(X).argmax(axis=1)
        else:
            assert len(y) == len(X)
            target = np.searchsorted(self.classes_, y)
        x = torch.tensor(np.asarray(X), dtype=self.dtype, requires_grad=True)
        attribution = self.explainer_(self.module_, x, torch.as_tensor(target)).detach().numpy()
        return type(X)(attribution, columns=X.columns, index=X.index) if hasattr(X, "columns") else attribution


class Quadratic(torch.nn.Module):
    """Logits (f, -f) with f(x) = x.Ax / 2 + b.x, so that both logits have the Hessian +-A."""

    def __init__(self, matrix, offset):
        super().__init__()
        self.matrix, self.offset = torch.nn.Parameter(matrix), torch.nn.Parameter(offset)

    def forward(self, x):
        value = ((x @ self.matrix) * x).sum(dim=1) / 2 + x @ self.offset
        return torch.stack([value, -value], dim=1)


class Recorder:
    """Passes every call on to `inner` and keeps what `explain` was asked."""

    def __init__(self, inner):
        self.inner, self.calls = inner, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def explain(self, X, y=None):
        self.calls.append((X, y))
        return self.inner.explain(X, y)
