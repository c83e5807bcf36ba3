"""Files that were altered are refused, or give the same model; none executes anything."""

import hashlib
import io
import json
import os
import pickle
import random
import sys
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.base import BaseEstimator
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from robustxai import VanillaClassifier, load, save
from robustxai.exceptions import AlteredFileError, UntrustedTypeError

from .conftest import taken_apart

N_DAMAGES, N_EDITS = 1000, 60


def in_skops(step):
    import skops.io

    return skops.io.dumps(step)


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    clf = VanillaClassifier(max_epochs=1, module__hidden=(2,), class_weight={0: 1.0, 1: 2.0}).fit(X, X[:, 0] > 0)
    return clf, X


@pytest.fixture(scope="module")
def content(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "model"
    save(small[0], path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def pipe_content(pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("pipe") / "model"
    save(pipe, path)
    return path.read_bytes()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_executed():
    """Fail for a process that is started, a connection, or an unpickled class, by any load of this file."""
    # imported only here: it takes seconds, which a process that just collects these tests need not spend
    import skops.io  # noqa: F401

    refused = ("os.system", "subprocess.Popen", "os.exec", "socket.connect", "pickle.find_class")
    seen, active = [], [True]

    def hook(event, args):
        if active and event.startswith(refused):
            seen.append((event, args))

    sys.addaudithook(hook)
    yield
    active.clear()
    assert seen == []


def damaged(content, draw):
    """Flip bits, cut, insert, remove or repeat bytes; half of the places lie in the header."""
    parts, header = bytearray(content), 8 + int.from_bytes(content[:8], "little")
    kind = draw.choice(("flip", "flip", "cut", "insert", "remove", "repeat"))
    place = draw.randrange(draw.choice((header, len(parts))))
    length = draw.randrange(1, 9)
    if kind == "flip":
        for _ in range(draw.choice((1, 1, 4))):
            parts[draw.randrange(draw.choice((header, len(parts))))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del parts[place:]
    elif kind == "insert":
        parts[place:place] = draw.randbytes(length)
    elif kind == "remove":
        del parts[place : place + length]
    else:
        parts[place:place] = parts[place : place + length]
    return bytes(parts)


@pytest.mark.parametrize("which", ["small", "pipe"])
def test_damages_are_refused_or_change_nothing(which, small, content, pipe, pipe_content, table, tmp_path):
    model, X = small if which == "small" else (pipe, table[0])
    content = content if which == "small" else pipe_content
    expected, draw, path = model.predict_proba(X), random.Random(0), tmp_path / "model"
    refused = 0
    for _ in range(N_DAMAGES if which == "small" else N_DAMAGES // 4):
        path.write_bytes(damaged(content, draw))
        try:
            loaded = load(path)
        except AlteredFileError:
            refused += 1
        else:
            np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert refused > 50


def places(node, path=()):
    if path:
        yield path
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


EDITS = [
    *(None, True, -1, 0, 1, 3, 2**40, -1.5, 1e308, "", "x", "cuda:7", "os.system", [], {}, [1, 2], {"$": "network"}),
    *({"$": "name", "value": "os.system"}, {"$": "float", "value": "nan"}, {"$": "list", "items": [1, [2]]}),
    {"$": "object", "class": "subprocess.Popen", "fields": {"args": "true"}},
    {"$": "object", "class": "robustxai.perturbation.ThreatModel", "fields": {"epsilon": 1.0}},
    {"$": "objects", "dtype": "O", "shape": [2**40], "items": []},
    {"$": "name", "value": "torch.nn.ReLU"},
]


def with_description(content, description):
    """Return a file with another description and checksums that fit."""
    metadata, tensors = taken_apart(content)
    text = json.dumps(description)
    metadata |= {"description": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return safetensors.torch.save(tensors, metadata)


def test_edits_of_the_description_with_new_checksums_give_a_working_model_or_an_error(content, small, tmp_path):
    """Whoever computes new checksums may change numbers, but not types."""
    X, draw, path = small[1], random.Random(0), tmp_path / "model"
    text = taken_apart(content)[0]["description"]
    loaded = 0
    for _ in range(N_EDITS):
        description = json.loads(text)
        *parents, last = draw.choice(list(places(description["model"])))
        node = description["model"]
        for key in parents:
            node = node[key]
        if draw.random() < 0.2 and isinstance(node, dict):
            del node[last]
        else:
            node[last] = draw.choice(EDITS)
        path.write_bytes(with_description(content, description))
        try:
            model = load(path)
        except (AlteredFileError, UntrustedTypeError):
            continue
        loaded += 1
        assert type(model) is VanillaClassifier
        assert np.isfinite(model.predict_proba(X)).all()
        assert len(model.predict(X)) == len(model.explain(X)) == len(X)
    assert 0 < loaded < N_EDITS / 2


def edited(content, change):
    description = json.loads(taken_apart(content)[0]["description"])
    change(description["model"])
    return with_description(content, description)


def _set(*path, value):
    def change(node):
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


ARGUMENTS = ("module", "network", "arguments")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (_set("class", value="posix.system"), UntrustedTypeError, r"names posix.system.* trusted=\[system\]"),
        (_set("class", value="torch.nn.ReLU"), AlteredFileError, "is no classifier"),
        (
            _set("module", "network", "class", value="robustxai.classifiers.VanillaClassifier"),
            AlteredFileError,
            "no module",
        ),
        # a network of a terabyte is refused by the sizes of its tensors
        (_set(*ARGUMENTS, "n_features", value=2**15), AlteredFileError, "has the shape"),
        (_set(*ARGUMENTS, "n_features", value=2**38), AlteredFileError, "larger than that of all its weights"),
        (
            _set(*ARGUMENTS, "hidden", value={"$": "tuple", "items": [2**15, 2**15]}),
            AlteredFileError,
            "not those of the",
        ),
        (_set(*ARGUMENTS, "hidden", value={"$": "tuple", "items": [1] * 10**5}), AlteredFileError, "longer than"),
        (_set("in_shape", value=[7]), AlteredFileError, "fit each other"),
        (_set("params", "lr", value=-1.0), AlteredFileError, "lr must be"),
        (_set("params", "nothing", value=1), AlteredFileError, "no parameter 'nothing'"),
        (_set("attributes", "fit", value=1), AlteredFileError, "fit each other"),
    ],
)
def test_what_a_description_may_not_say(change, error, match, content, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(edited(content, change))
    with pytest.raises(error, match=match):
        load(path)


def with_step(pipe_content, step):
    """Return the file of a Pipeline with other bytes of its first step, and checksums that fit."""
    metadata, tensors = taken_apart(pipe_content)
    description = json.loads(metadata["description"])
    name = description["model"]["steps"][0][1]["bytes"]
    tensors[name] = torch.tensor(np.frombuffer(step, np.uint8))
    head = f"{tensors[name].dtype} {tuple(tensors[name].shape)}".encode()
    description["parts"][name] = hashlib.sha256(head + step).hexdigest()
    text = json.dumps(description)
    metadata |= {"description": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return safetensors.torch.save(tensors, metadata)


def _archive(path, name, part, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr(name, part)
    return path.read_bytes()


def test_edits_of_a_step_with_new_checksums_execute_nothing(pipe_content, tmp_path):
    draw, path = random.Random(0), tmp_path / "model"
    with zipfile.ZipFile(io.BytesIO(in_skops(StandardScaler().fit([[0.0], [1.0]])))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    names = ["os", "system", "builtins", "eval", "MethodNode", "FunctionNode", "PartialNode", None, [], {}, -1, 2**40]
    for _ in range(60):
        schema = json.loads(parts["schema.json"])
        *parents, last = draw.choice(list(places(schema)))
        node = schema
        for key in parents:
            node = node[key]
        node[last] = draw.choice(names)
        step = io.BytesIO()
        with zipfile.ZipFile(step, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, json.dumps(schema) if name == "schema.json" else part)
        path.write_bytes(with_step(pipe_content, step.getvalue()))
        try:
            loaded = load(path)
        except (AlteredFileError, UntrustedTypeError):
            continue
        assert isinstance(loaded[0], BaseEstimator)


def test_a_step_that_would_execute_something_is_refused(pipe_content, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(with_step(pipe_content, in_skops(FunctionTransformer(os.system))))
    with pytest.raises(UntrustedTypeError, match="system"):
        load(path)


def test_a_step_that_unpacks_to_more_than_it_says_is_refused(pipe_content, tmp_path):
    path = tmp_path / "model"
    bomb = _archive(tmp_path / "a", "bomb.npy", bytes(10**7), zipfile.ZIP_DEFLATED)
    path.write_bytes(with_step(pipe_content, bomb))
    with pytest.raises(AlteredFileError, match="unpacks to much more"):
        load(path)
    np.save(tmp_path / "huge.npy", np.zeros(1))
    huge = (tmp_path / "huge.npy").read_bytes().replace(b"(1,), }" + b" " * 12, b"(1099511627776,), }")
    path.write_bytes(with_step(pipe_content, _archive(tmp_path / "b", "huge.npy", huge)))
    with pytest.raises(AlteredFileError, match="not of its declared size"):
        load(path)
    path.write_bytes(with_step(pipe_content, b"no archive"))
    with pytest.raises(AlteredFileError):
        load(path)


class Harmful:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00" * 100, id="zeros"),
        pytest.param(pickle.dumps(Harmful()), id="pickle"),
        pytest.param((2**60).to_bytes(8, "little") + b"{}", id="huge header"),
        pytest.param(safetensors.torch.save({"weight": torch.zeros(2)}), id="tensors"),
        pytest.param(
            safetensors.torch.save({"weight": torch.zeros(2)}, {"format": "robustxai model", "format_version": "99"}),
            id="newer version",
        ),
        pytest.param(
            safetensors.torch.save({}, {"format": "robustxai model", "format_version": "1"}), id="no description"
        ),
        pytest.param(lambda: in_skops(StandardScaler()), id="skops"),
    ],
)
def test_foreign_files_are_refused(foreign, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(foreign() if callable(foreign) else foreign)
    with pytest.raises(AlteredFileError, match="cannot be loaded"):
        load(path)


def test_what_is_no_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_a_deep_description_is_refused(content, tmp_path):
    deep = '{"parts": {}, "model": ' + "[" * 100_000 + "]" * 100_000 + "}"
    metadata, tensors = taken_apart(content)
    metadata |= {"description": deep, "sha256": hashlib.sha256(deep.encode()).hexdigest()}
    (tmp_path / "model").write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(AlteredFileError):
        load(tmp_path / "model")


def test_trusted_names_are_classes_and_functions(content, tmp_path):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(TypeError, match="trusted"):
        load(tmp_path / "model", trusted=["os.system"])
