"""The graph gives the model's rewards in onnxruntime."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.preprocessing import StandardScaler
from test_layers import REWARDS, STEPS, fitted

from skreward import BradleyTerryRegressor, persistence
from skreward.export import ExportError, to_onnx
from skreward.export import onnx as room
from tests.support import needs

onnx, onnxruntime = needs("onnx"), needs("onnxruntime")


def run(path, rows):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"embeddings": rows.astype(np.float32)})[0]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_steps(step, preferences, tmp_path):
    model = fitted(step, BradleyTerryRegressor(), preferences)
    path = tmp_path / "reward.onnx"
    about = to_onnx(model, path)
    rows = preferences.embeddings
    wanted = model.predict(rows)
    assert_allclose(run(path, rows), wanted, atol=1e-4 * np.abs(wanted).max())
    assert run(path, rows[:1]).shape == (1,)
    assert about["compared"]["largest_difference"] < 1e-4


@pytest.mark.parametrize("reward", REWARDS, ids=str)
def test_rewards(reward, preferences, tmp_path):
    model = fitted(StandardScaler(), reward, preferences)
    persistence.save(model, tmp_path / "model.skops")
    model = persistence.load(tmp_path / "model.skops")
    to_onnx(model, tmp_path / "reward.onnx", preferences.pairs)
    rows = preferences.embeddings
    wanted = model.predict(rows)
    assert_allclose(
        run(tmp_path / "reward.onnx", rows), wanted, atol=1e-4 * np.abs(wanted).max()
    )


def test_a_row_of_zeros_is_not_divided_by_its_length(preferences, tmp_path):
    model = fitted(STEPS[10], BradleyTerryRegressor(), preferences)
    to_onnx(model, tmp_path / "reward.onnx")
    rows = np.zeros((2, 6))
    assert_allclose(run(tmp_path / "reward.onnx", rows), model.predict(rows), 1e-5)


def test_the_file_says_what_it_is(preferences, tmp_path):
    model = fitted("passthrough", BradleyTerryRegressor(), preferences)
    about = to_onnx(model, tmp_path / "reward.onnx")
    (entry,) = onnx.load(tmp_path / "reward.onnx").metadata_props
    assert entry.key == "skreward"
    assert json.loads(entry.value) == about
    assert {"skreward", "onnx", "onnxruntime"} <= about["versions"].keys()
    assert about["compared"]["n_compared"] > 1


def test_what_differs_is_not_written(preferences, tmp_path, monkeypatch):
    model = fitted("passthrough", BradleyTerryRegressor(), preferences)
    folded = room.fold(model)
    folded.layers[0].bias[0] += 0.01
    monkeypatch.setattr(room, "fold", lambda model: folded)
    with pytest.raises(ExportError, match=r"differs from the model by 0\.01"):
        to_onnx(model, tmp_path / "reward.onnx")
    monkeypatch.setattr(room, "check_layers", lambda *args: None)
    with pytest.raises(ExportError, match=r"the ONNX graph differs"):
        to_onnx(model, tmp_path / "reward.onnx")
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments(preferences, tmp_path):
    model = fitted("passthrough", BradleyTerryRegressor(), preferences)
    with pytest.raises(ValueError, match=r"must end in \.onnx"):
        to_onnx(model, tmp_path / "reward.bin")
    with pytest.raises(ValueError, match="X has 5 features, and the model takes 6"):
        to_onnx(model, tmp_path / "reward.onnx", np.ones((3, 5)))
    with pytest.raises(ValueError, match="got shape"):
        to_onnx(model, tmp_path / "reward.onnx", np.ones(6))
