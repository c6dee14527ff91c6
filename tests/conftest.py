import numpy as np
import pytest
from hypothesis import settings

from skreward.datasets import make_preferences
from tests.support import data_file

# A fit may wait for a busy machine; that is no failure.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def preferences():
    """400 noisy same-prompt pairs of 20 prompts x 8 responses in 6 dimensions."""
    return make_preferences(
        n_prompts=20, n_responses=8, n_features=6, n_pairs=400, random_state=0
    )


@pytest.fixture(scope="session")
def judged():
    """Judged responses of 58 language models to 405 prompts, embedded."""
    path = data_file("judged_dev_minilm.npz")
    with np.load(path, allow_pickle=False) as data:
        return dict(data)


@pytest.fixture
def cuda():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return "cuda"
