"""export_onnx: a fitted classifier with its explanation and a proof as one ONNX graph."""

from __future__ import annotations

import json
from importlib.metadata import version
from os import PathLike
from typing import Any

import numpy as np

from robustxai._arguments import COUNT, NORM, POSITIVE, PathName, checked, optional
from robustxai._files import written_at_once
from robustxai._models import GRADIENTS, unwrap
from robustxai._switches import own_switches
from robustxai._table_summary import fill
from robustxai.explainers import EXPLAINER, resolve_explainer
from robustxai.exporting._explanation import attribution, logits_of, plan_of
from robustxai.exporting._graph import OPSET, Graph
from robustxai.exporting._layers import chain_of
from robustxai.exporting._radius import check_radius, radius
from robustxai.perturbation import canonical_norm
from robustxai.protocols import Estimator, Explainer, ExplainerName, Norm, Ranking
from robustxai.ranking import RANKING

__all__ = ["export_onnx"]

#: Version of the file format, which runtimes of 2023 know.
_IR_VERSION = 9


@checked(
    path=PathName(),
    explainer=optional(EXPLAINER),
    k=optional(COUNT),
    epsilon=POSITIVE,
    norm=NORM,
    ranking=RANKING,
)
def export_onnx(
    estimator: Estimator,
    path: str | PathLike[str],
    *,
    y: Any = None,
    explainer: ExplainerName | Explainer | None = None,
    k: int | None = None,
    epsilon: float = 1.0,
    norm: Norm = 2,
    ranking: Ranking = "magnitude",
) -> None:
    r"""Write a fitted classifier to an ONNX graph that returns the explanation with the prediction.

    The graph has one input, ``X`` of shape (n, n_features), and these outputs:

    * ``label`` (n,), int64: index of the predicted class;
    * ``probabilities`` (n, n_classes);
    * ``attribution`` (n, n_features), or (n, n_columns) of an explainer of columns: as ``explain`` returns it;
    * ``radius`` (n,), float64, with `k`: a radius within which the top-k set provably stays, 0 where nothing is proven.

    Names of classes, features and columns are in the metadata, as JSON. ``X`` is float32, or float64 for a network of
    float64 weights; the graph computes in float64.

    The radius is by interval arithmetic, which needs no more than the operations of a runtime. It is smaller than that
    of :func:`~robustxai.certificates.certified_radius`, which bounds the network more tightly.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search
        With an MLP, an additive network, a linear model or another chain of linear layers and activations; the models
        of scikit-learn that :func:`~robustxai.as_explainable` converts too. Of a Pipeline the last step is written, and
        ``X`` is in the features that it sees.
    path : path-like
        The file, which is written atomically.
    y : label, optional
        Explain this class instead of the predicted one.
    explainer : str or Explainer, optional
        By default that of the classifier. Gradients, gradient x input, integrated gradients, column contributions and
        centered gradients are written.
    k : int, optional
        Size of the top set, for a radius. Two classes only.
    epsilon : float, default=1.0
        Largest radius that is looked for, in units of ``X``.
    norm : {2, inf, "2", "inf"}, default=2
        Norm of the ball.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What makes the top set.

    Raises
    ------
    ImportError
        The package onnx is missing.
    NotImplementedError
        A network, activation or explainer that is not written, by its name.
    ValueError
        A k that is not smaller than the number of entries, a class that does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_breast_cancer
    >>> from robustxai import SoftplusClassifier, export_onnx
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = SoftplusClassifier(max_epochs=2).fit(X, y)
    >>> export_onnx(clf, f"{tempfile.mkdtemp()}/model.onnx", k=4)
    """
    onnx = _onnx()
    with own_switches():
        model, _ = unwrap(estimator, needs=("explain", "encode_target", *GRADIENTS), what="export_onnx")
        names = [str(name) for name in getattr(model, "feature_names_in_", [])]
        n_features = int(model.n_features_in_)  # type: ignore[attr-defined]
        names = names or [f"x{j}" for j in range(n_features)]
        chain = chain_of(model.module_)
        summary = getattr(model, "table_summary_", None)
        chosen = model.explainer_ if explainer is None else fill(resolve_explainer(explainer), summary)
        plan = plan_of(chosen, names)
        classes = np.asarray(model.classes_)
        is_double = next(model.module_.parameters()).dtype.itemsize == 8
        kind = onnx.TensorProto.DOUBLE if is_double else onnx.TensorProto.FLOAT

        graph = Graph()
        x = graph.op("Cast", "X", to=onnx.TensorProto.DOUBLE)
        logits, _ = logits_of(graph, chain, x)
        label = graph.op("ArgMax", logits, axis=-1, keepdims=1)
        explained = label if y is None else graph.constant([[_index(classes, y)]], np.int64)
        places = graph.constant(np.arange(len(classes)), np.int64)
        target = graph.number(graph.op("Equal", explained, places))
        if y is not None:  # one line for every row
            target = graph.add(target, graph.mul(logits, graph.constant(0.0)))
        outputs = {
            "label": (graph.op("Squeeze", label, graph.constant([-1], np.int64)), onnx.TensorProto.INT64, ["n"]),
            "probabilities": (graph.op("Softmax", logits, axis=-1), kind, ["n", len(classes)]),
            "attribution": (attribution(graph, chain, plan, x, target), kind, ["n", len(plan.names)]),
        }
        if k is not None:
            check_radius(chain, plan, len(classes))
            if k >= len(plan.names):
                raise ValueError(f"k must be smaller than the number of entries, {len(plan.names)}; got {k}.")
            found = radius(graph, chain, plan, x, target, k, float(epsilon), canonical_norm(norm), ranking)
            outputs["radius"] = (found, onnx.TensorProto.DOUBLE, ["n"])  # float32 might round it up
        metadata = {
            "robustxai": version("robustxai"),
            "classes": json.dumps(classes.tolist(), default=str),
            "features": json.dumps(names),
            "entries": json.dumps([str(name) for name in plan.names]),
            "explainer": repr(chosen),
        }
        if k is not None:
            metadata["radius"] = json.dumps({"k": k, "epsilon": epsilon, "norm": str(norm), "ranking": ranking})
        content = _model(onnx, graph, kind, n_features, outputs, metadata)
    with written_at_once(path) as file:  # type: ignore[arg-type]
        file.write(content)


def _model(
    onnx: Any, graph: Graph, kind: int, n_features: int, outputs: dict[str, Any], metadata: dict[str, str]
) -> bytes:
    """Return the bytes of a checked model."""
    for name, (value, to, _) in outputs.items():
        graph.nodes.append(onnx.helper.make_node("Cast", [value], [name], to=to))
    made = onnx.helper.make_graph(
        graph.nodes,
        "robustxai",
        [onnx.helper.make_tensor_value_info("X", kind, ["n", n_features])],
        [onnx.helper.make_tensor_value_info(name, to, shape) for name, (_, to, shape) in outputs.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(made, producer_name="robustxai", opset_imports=opset, ir_version=_IR_VERSION)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _index(classes: np.ndarray, y: Any) -> int:
    places = np.flatnonzero(classes == y)
    if len(places) != 1:
        raise ValueError(f"y={y!r} is none of the classes {classes.tolist()}.")
    return int(places[0])


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError("export_onnx needs the package onnx: pip install 'robustxai[onnx]'.") from error
    return onnx
