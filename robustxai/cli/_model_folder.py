"""The folder of a model: one file that is safe to load, and a description of the table that it was trained on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

import robustxai
from robustxai._files import seal, unseal, written_at_once
from robustxai.cli._budgets import Budgets
from robustxai.datasets import TableSchema
from robustxai.exceptions import AlteredFileError
from robustxai.saving import load

__all__ = ["ModelFolder", "check_free"]

_MODEL, _TABLE = "model.safetensors", "table.json"
_FORMAT = "robustxai table model"
_FORMAT_VERSION = 1
_TAIL = b'"\n}\n'


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """A fitted model with what later commands must know.

    Parameters
    ----------
    pipe : Pipeline
        From raw rows to classes.
    schema : TableSchema
        Of the training rows.
    target : str
        Column of the label.
    k : int
        Number of reasons.
    budgets : Budgets
        Of the threat model.
    na_values : tuple of str
        Marks of missing values.
    training : dict
        What was trained, and on which rows: ``defense``, ``seed``, ``test_size``, ``content`` of the file, ``n_train``,
        ``n_test``.
    held_out : dict
        Figures of the rows that were held out.
    """

    pipe: Pipeline
    schema: TableSchema
    target: str
    k: int
    budgets: Budgets
    na_values: tuple[str, ...]
    training: dict[str, Any]
    held_out: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> list[Any]:
        """Labels."""
        return [getattr(label, "item", lambda v=label: v)() for label in self.pipe.classes_]

    def write(self, folder: Path, *, overwrite: bool = False) -> list[Path]:
        """Write the folder at once: a reader sees all of it, or what was there before.

        Raises
        ------
        OSError
            It cannot be written, or something is in its place.
        """
        check_free(folder, overwrite)
        folder = Path(os.path.realpath(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = folder.parent / f".{uuid.uuid4().hex}.part"
        old = folder.parent / f".{uuid.uuid4().hex}.old"
        try:
            robustxai.save(self.pipe, new / _MODEL)
            with written_at_once(new / _TABLE) as file:
                file.write(self._description(new / _MODEL))
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(new, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)
        return [folder / _MODEL, folder / _TABLE]

    def _description(self, model: Path) -> bytes:
        words = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "robustxai": robustxai.__version__,
            "target": self.target,
            "k": self.k,
            "na_values": list(self.na_values),
            "budgets": self.budgets.to_json(),
            "training": self.training,
            "held_out": self.held_out,
            "columns": self.schema.to_json(),
            "model_sha256": _digest(model),
        }
        text = json.dumps(words, indent=1, ensure_ascii=False, allow_nan=False)
        return seal(f'{text.removesuffix("}").rstrip()},\n "sha256": "'.encode(), _TAIL)

    @classmethod
    def read(cls, folder: Path) -> ModelFolder:
        """Read a folder, without executing anything of it.

        Raises
        ------
        FileNotFoundError
            There is none.
        AlteredFileError
            A file of it was altered, cut, exchanged, or written by something else.
        """
        if not folder.exists():
            raise FileNotFoundError(
                f"There is no model folder {folder}. 'robustxai fit TABLE --target LABEL --out {folder}' makes one."
            )
        if not folder.is_dir() or not (folder / _TABLE).is_file() or not (folder / _MODEL).is_file():
            raise AlteredFileError(
                f"{folder} is no model folder: it does not hold {_MODEL} and {_TABLE}. Give the folder that "
                "'robustxai fit --out' named."
            )
        try:
            raw = (folder / _TABLE).read_bytes()
            unseal(raw, _TAIL)
            words = json.loads(raw)
            if not isinstance(words, dict) or words.get("format") != _FORMAT:
                raise ValueError("robustxai fit did not write it")
            if not isinstance(words["format_version"], int) or words["format_version"] > _FORMAT_VERSION:
                raise ValueError(f"its form is newer than this robustxai {robustxai.__version__}")
            if words["model_sha256"] != _digest(folder / _MODEL):
                raise ValueError(f"it was written for another {_MODEL} than the one beside it")
            schema = TableSchema.read(words["columns"])
            budgets = Budgets.read(words["budgets"])
            target, k = str(words["target"]), int(words["k"])
            na_values = tuple(map(str, words["na_values"]))
            training, held_out = dict(words["training"]), dict(words["held_out"])
        except (ValueError, KeyError, TypeError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise AlteredFileError(
                f"{folder / _TABLE} cannot be used: {reason}. Get the folder again, or fit the model again."
            ) from error
        pipe = load(folder / _MODEL)
        if not isinstance(pipe, Pipeline) or list(getattr(pipe, "feature_names_in_", ())) != schema.names:
            raise AlteredFileError(
                f"{folder / _MODEL} has other columns than {_TABLE}. Get the folder again, or fit the model again."
            )
        return cls(pipe, schema, target, k, budgets, na_values, training, held_out)


def check_free(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError where an output would replace something, before any work.

    A folder is replaced only where it is one of a model.
    """
    if not os.path.lexists(path):
        return
    if path.is_dir():
        names = {entry.name for entry in path.iterdir()}
        if not names:
            return
        if not names <= {_MODEL, _TABLE}:
            raise FileExistsError(
                f"{path} is a folder with other things in it, which are not replaced. Give another --out."
            )
    if not overwrite:
        raise FileExistsError(f"{path} exists. Give another --out, or --overwrite to replace it.")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
