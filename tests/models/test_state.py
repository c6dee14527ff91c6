"""What a fitted model leaves behind: files, bits, imports."""

import io
import os
import pickle
import zipfile

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardMLPClassifier,
)
from tests.support import leaves, run_python

pytestmark = pytest.mark.filterwarnings("ignore:Adam stopped")

MODELS = {
    "linear": BradleyTerryRegressor(),
    "network": BradleyTerryMLPRegressor((8, 4), max_iter=3, random_state=0),
    "classifier": PairwiseClassifierReward(),
    "classifier network": PairwiseClassifierReward(
        RewardMLPClassifier((8,), max_iter=3, random_state=0)
    ),
    "boosting": PairwiseClassifierReward(HistGradientBoostingClassifier(max_iter=5)),
    "forest": PairwiseClassifierReward(RandomForestClassifier(5, random_state=0)),
    "pipeline": make_pipeline(
        ItemwiseTransformer(StandardScaler()),
        ItemwiseTransformer(PCA(3, random_state=0)),
        BradleyTerryRegressor(),
    ),
    "random_state": BradleyTerryMLPRegressor(
        (4,), max_iter=2, random_state=np.random.RandomState(0)
    ),
}


def by_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


def by_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def by_skops(model, folder):
    skreward.save(model, folder / "model.skops")
    return skreward.load(folder / "model.skops")


@pytest.mark.parametrize("way", [by_pickle, by_joblib, by_skops])
@pytest.mark.parametrize("name", MODELS)
def test_round_trips_predict_bit_for_bit(name, way, tmp_path, preferences):
    pairs, y = preferences.pairs, preferences.y
    model = clone(MODELS[name]).fit(pairs, y)
    again = way(model, tmp_path)
    assert_array_equal(again.predict(pairs), model.predict(pairs))
    assert_array_equal(again.predict(pairs.embeddings), model.predict(pairs.embeddings))
    assert again.get_params().keys() == model.get_params().keys()


def test_partial_fit_goes_on_after_a_round_trip(tmp_path, preferences):
    pairs, y = preferences.pairs, preferences.y
    model = BradleyTerryMLPRegressor((4,), random_state=0).partial_fit(pairs, y)
    again = by_skops(model, tmp_path)
    assert_array_equal(
        again.partial_fit(pairs, y).predict(pairs),
        model.partial_fit(pairs, y).predict(pairs),
    )


@pytest.mark.parametrize("name", ["network", "forest"])
def test_the_same_seed_gives_the_same_bits(name, preferences):
    pairs, y = preferences.pairs, preferences.y
    one, other = (clone(MODELS[name]).fit(pairs, y) for _ in range(2))
    assert_array_equal(one.predict(pairs), other.predict(pairs))
    if name == "network":
        differing = clone(MODELS[name]).set_params(random_state=1).fit(pairs, y)
        assert (one.predict(pairs) != differing.predict(pairs)).any()


def test_the_seed_fixes_dropout_and_nothing_global_is_touched(preferences):
    import torch

    model = BradleyTerryMLPRegressor((8,), dropout=0.5, max_iter=2, random_state=0)
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    one = clone(model).fit(preferences.pairs, preferences.y)
    torch.rand(3)
    # The numbers change once in 624 draws; the place among them with each.
    for before, after in zip(numpy_state, np.random.get_state(), strict=True):  # noqa: NPY002
        assert_array_equal(after, before)
    other = clone(model).fit(preferences.pairs, preferences.y)
    assert_array_equal(one.predict(preferences.pairs), other.predict(preferences.pairs))
    torch.set_rng_state(torch_state)
    clone(model).fit(preferences.pairs, preferences.y)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads


FITS = [
    (name, method)
    for name in ("linear", "network", "classifier")
    for method in ("fit", "partial_fit")
    if hasattr(MODELS[name], method)
]


@pytest.mark.parametrize(("name", "method"), FITS)
def test_fitted_attributes_are_numpy(name, method, preferences):
    """Down to the leaves, of what the optimizer holds too."""
    model = clone(MODELS[name])
    getattr(model, method)(preferences.pairs, preferences.y)
    found = dict(leaves(model))
    assert any(isinstance(leaf, np.ndarray) for leaf in found.values())
    if method == "partial_fit":
        assert any(path.startswith(".optimizer_state_") for path in found)
    for path, leaf in found.items():
        module = type(leaf).__module__.split(".")[0]
        assert module in ("builtins", "numpy", "sklearn"), (path, type(leaf))


def test_a_model_of_a_lost_device_predicts_on_the_cpu(preferences):
    model = clone(MODELS["network"]).fit(preferences.pairs, preferences.y)
    margins = model.predict(preferences.pairs)
    model.device_ = "cuda:97"
    assert_array_equal(
        pickle.loads(pickle.dumps(model)).predict(preferences.pairs), margins
    )


class Foreign:
    """Not one of ours; pickles by a call that leaves a trace."""

    def __reduce__(self):
        return (open, (os.environ["SKREWARD_TRACE"], "w"))


def test_a_foreign_type_is_refused_by_name_and_does_not_run(
    tmp_path, preferences, monkeypatch
):
    import skops.io

    trace = tmp_path / "trace"
    monkeypatch.setenv("SKREWARD_TRACE", str(trace))
    model = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    model.extra_ = Foreign()
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    trace.unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"not trusted: .*Foreign|not trusted: .*open"):
        skreward.load(path)
    assert not trace.exists()


def test_a_function_of_scikit_learn_is_no_trusted_class(tmp_path, preferences):
    from sklearn.preprocessing import FunctionTransformer

    model = make_pipeline(
        ItemwiseTransformer(FunctionTransformer(os.path.basename)),
        BradleyTerryRegressor(),
    )
    skreward.save(model, tmp_path / "model.skops")
    with pytest.raises(ValueError, match=r"not trusted: .*basename"):
        skreward.load(tmp_path / "model.skops")
    loaded = skreward.load(tmp_path / "model.skops", trusted=["posixpath.basename"])
    assert loaded[0].transformer.func is os.path.basename


@pytest.mark.parametrize(
    "content", [b"", b"not a model", "zip"], ids=["empty", "text", "zip"]
)
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    path = tmp_path / "model.skops"
    if content == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("readme", "hello")
        content = buffer.getvalue()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.skops is no model file"):
        skreward.load(path)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        skreward.load(tmp_path / "nothing.skops")


def test_a_failed_save_leaves_the_old_file(tmp_path, preferences, monkeypatch):
    import skops.io

    path = tmp_path / "model.skops"
    model = BradleyTerryRegressor().fit(preferences.pairs, preferences.y)
    skreward.save(model, path)
    before = path.read_bytes()

    def full_disk(model, file, **options):
        with open(file, "wb") as half:
            half.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(skops.io, "dump", full_disk)
    with pytest.raises(OSError, match="No space"):
        skreward.save(model, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.skops"]


def test_public_names_come_when_they_are_asked_for():
    code = "import sys, skreward; print('numpy' in sys.modules, dir(skreward))"
    is_heavy, names = run_python(code).split(maxsplit=1)
    assert is_heavy == "False"
    for name in skreward.__all__:
        assert repr(name) in names
        assert getattr(skreward, name) is getattr(skreward, name)
    assert sorted(skreward.__all__) == skreward.__all__


def test_displays_are_there_when_asked_for():
    code = (
        "import skreward\n"
        "print('plotting' in dir(skreward), skreward.plotting.__name__)\n"
        "from skreward import *\n"
        "print(plotting is skreward.plotting)"
    )
    assert run_python(code) == "True skreward.plotting\nTrue"
    with pytest.raises(AttributeError, match="no attribute 'plots'"):
        skreward.plots  # noqa: B018
