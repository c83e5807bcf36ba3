"""Models in MLflow: what is served is what the model says, and nothing in the folder is a program."""

import numpy as np
import pandas as pd
import pytest

from robustxai.exceptions import AlteredFileError
from robustxai.integrations.mlflow import load_model, log_model, save_model
from robustxai.reasons import explain_columns, reasons

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pipe, table):
    path = tmp_path_factory.mktemp("mlflow") / "model"
    save_model(pipe, path, table[0])
    return path


def test_what_is_served_is_what_the_model_says(folder, pipe, table):
    X = table[0].iloc[5:9]
    served = mlflow.pyfunc.load_model(str(folder))
    found = served.predict(X)
    assert found.columns.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(found, pipe.predict_proba(X))
    assert served.predict(X, params={"output": "labels"})["label"].tolist() == pipe.predict(X).tolist()
    contributions = served.predict(X, params={"output": "contributions"})
    pd.testing.assert_frame_equal(contributions, explain_columns(pipe, X), check_exact=True)
    lines = served.predict(X, params={"output": "reasons", "top": 2, "favorable": "yes"})
    expected = reasons(pipe, X, 2, favorable="yes").frame
    assert lines["column"].tolist() == expected["column"].tolist()
    np.testing.assert_array_equal(lines["contribution"], expected["contribution"])
    with pytest.raises(Exception, match="output='speech' is not known"):
        served.predict(X, params={"output": "speech"})
    with pytest.raises(Exception, match="none of the classes"):
        served.predict(X, params={"output": "reasons", "favorable": "maybe"})


def test_an_array_and_features(clf, features, tmp_path):
    save_model(clf, tmp_path / "model", features)
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(served.predict(features[:3]), clf.predict_proba(features[:3]))
    found = served.predict(features[:3], params={"output": "contributions"})
    np.testing.assert_array_equal(found, clf.explain(features[:3]))
    assert found.columns.tolist() == ["x0", "x1", "x2", "x3"]


def test_a_run_logs_and_gives_back_the_model(pipe, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    try:
        with mlflow.start_run():
            logged = log_model(pipe, "credit", table[0])
        again = load_model(logged.model_uri)
    finally:
        mlflow.set_tracking_uri(before)
    np.testing.assert_array_equal(again.predict_proba(table[0]), pipe.predict_proba(table[0]))


def test_the_folder_holds_no_pickle_and_no_rows(folder, table):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib", ".py")]
    described = (folder / "MLmodel").read_text(encoding="utf-8")
    assert "robustxai_version" in described
    assert str(table[0]["debt"].iloc[0]) not in described
    assert "robustxai==" in (folder / "requirements.txt").read_text(encoding="utf-8")


def test_an_altered_file_is_refused(folder, tmp_path):
    place = tmp_path / "data"
    place.mkdir()
    raw = bytearray((folder / "data" / "model.safetensors").read_bytes())
    raw[len(raw) // 2] ^= 1
    (place / "model.safetensors").write_bytes(raw)
    with pytest.raises(AlteredFileError):
        load_model(str(tmp_path))
