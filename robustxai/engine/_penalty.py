"""Base class of penalties, with the declarations that speed up their training."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from robustxai.engine._explained_batch import ExplainedBatch

__all__ = ["BasePenalty"]


class BasePenalty:
    r"""Base class of regularizers: an explained batch to one value per sample, to be minimized. Weights act outside.

    Any callable of that form is a penalty and is trained by autograd. A class that declares more trains faster. Each
    declaration is a promise about the class that makes it; a subclass declares again the promises that still hold.

    Attributes
    ----------
    differentiates_inputs : bool, default=True
        The penalty differentiates in ``batch.x`` itself, by autograd. A penalty that only reads logits and
        attributions declares False; small MLPs then train two to three times as fast, by written-out passes.
    first_order : bool, default=False
        The penalty reads no attribution, so that the network is differentiated once. Such an objective can be compiled.
    stackable : bool, default=False
        The penalty takes batches of any number of leading axes (``batch.batch_ndim``) and draws random numbers through
        the batch, so that one call serves a whole stack of models.
    mixes_in_stacks : bool, default=False
        Models of one stack may have penalties with different parameters, each of which reads the rows of its models.
        The penalty must read nothing but ``logits``, ``target``, ``direction`` and ``attribution``.
    n_rows : int or None, default=None
        The penalty reads only the first ``n_rows`` rows of a batch, and returns one value for each of them. In a part
        of a batch, ``batch.among_first(n_rows)`` counts these rows.

    Notes
    -----
    A penalty may explain one other point per sample that is known before any evaluation. It then has a method
    ``point(batch)``, which returns the points shaped like ``batch.x``, and reads ``batch.direction_of(self)``: both
    points share one pass of the network. A penalty with a state that a checkpoint must keep has ``state_dict()`` and
    ``load_state_dict(state)``.

    Random numbers come from ``batch.draw`` or ``batch.randn_like``. Torch's global generators work too, but make every
    step some microseconds slower, and the parts of a batch (``internal_batch_size``) then draw other numbers than the
    whole batch.

    Examples
    --------
    A penalty on the squared length of the explanation, with the declarations that speed it up:

    >>> from robustxai.penalties import BasePenalty
    >>> class SquaredLength(BasePenalty):
    ...     differentiates_inputs = False
    ...     stackable = True
    ...
    ...     def __call__(self, batch):
    ...         return batch.attribution.flatten(start_dim=batch.batch_ndim).square().sum(dim=-1)
    """

    differentiates_inputs: ClassVar[bool] = True
    first_order: ClassVar[bool] = False
    stackable: ClassVar[bool] = False
    mixes_in_stacks: ClassVar[bool] = False
    n_rows: int | None = None

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Return the penalty of each sample, shape (*batch,)."""
        raise NotImplementedError
