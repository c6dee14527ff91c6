"""The reward in TRL: its contract, and a policy that learns from it."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline

from skreward import BradleyTerryRegressor, LLMEmbeddingTransformer, save
from skreward.integrations import TRLReward
from tests.support import needs
from tests.tiny_models import CHAT, WORDS, save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A reward for words of the first half of the alphabet."""
    folder = save_tiny(tmp_path_factory.mktemp("encoder"), bos=False, chat=CHAT)
    rng = np.random.default_rng(0)
    rows = [
        {
            "prompt": str(rng.choice(WORDS)),
            "chosen": " ".join(rng.choice(["a", "b"], 4)),
            "rejected": " ".join(rng.choice(["e", "f", "g", "h"], 4)),
        }
        for _ in range(80)
    ]
    embed = LLMEmbeddingTransformer(
        folder, pooling="mean", template="{prompt} {response}"
    )
    return make_pipeline(embed, BradleyTerryRegressor(alpha=0.01)).fit(rows)


def test_the_contract(model, tmp_path):
    save(model, tmp_path / "model.skops")
    reward = TRLReward(tmp_path / "model.skops", name="kind")
    assert reward.__name__ == "kind"
    assert not isinstance(reward, torch.nn.Module)
    prompts, completions = ["c", "c", "d", "c"], ["a b", None, "e", "a b"]
    given = reward(prompts=prompts, completions=completions, other=[1] * 4)
    assert given[1] is None
    assert given[0] == given[3]
    rows = [{"prompt": "c", "response": "a b"}, {"prompt": "d", "response": "e"}]
    assert_allclose([given[0], given[2]], model.predict(rows), rtol=1e-6)
    assert all(type(r) is float for r in given if r is not None)
    assert reward(prompts=["c"], completions=[None]) == [None]
    assert reward(prompts=[], completions=[]) == []


def test_repeated_completions_are_computed_once():
    class Spy:
        def predict(self, rows):
            seen.extend(rows)
            return np.zeros(len(rows))

    seen = []
    TRLReward(Spy())(["p", "p", "q"], ["a", "a", "a"])
    assert len(seen) == 2


def test_chat_messages(model):
    embed = LLMEmbeddingTransformer(model[0].model, pooling="mean")
    prompt = [{"role": "user", "content": "c"}]
    good, bad = ([{"role": "assistant", "content": text}] for text in ("a b", "e f"))
    pairs = [{"prompt": prompt, "chosen": good, "rejected": bad}] * 2
    chat = make_pipeline(embed, BradleyTerryRegressor()).fit(pairs)
    better, worse = TRLReward(chat)([prompt, prompt], [good, bad])
    assert better > worse


def test_unequal_lengths_and_no_model(model):
    with pytest.raises(ValueError, match="2 prompts have 1 completions"):
        TRLReward(model)(["p", "q"], ["a"])
    with pytest.raises(TypeError, match="got int"):
        TRLReward(3)


def test_pickles_and_threads(model):
    reward = pickle.loads(pickle.dumps(TRLReward(model)))
    texts = [[f"{a} {b}" for a in "abcd"] for b in "efgh"]
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda row: reward(["c"] * 4, row), texts))
    for row, rewards in zip(texts, given, strict=True):
        assert_allclose(rewards, reward(["c"] * 4, row), rtol=1e-5)


def training(folder, **options):
    from trl import GRPOConfig

    return GRPOConfig(
        str(folder),
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        logging_steps=1,
        save_strategy="no",
        seed=0,
        **options,
    )


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_policy_learns_from_it(model, tmp_path):
    needs("trl")
    from datasets import Dataset
    from trl import GRPOTrainer

    trainer = GRPOTrainer(
        model=save_tiny(tmp_path / "policy", bos=False),
        reward_funcs=TRLReward(model),
        args=training(
            tmp_path / "run",
            max_steps=60,
            per_device_train_batch_size=16,
            num_generations=8,
            max_completion_length=4,
            learning_rate=1e-2,
            beta=0.0,
        ),
        train_dataset=Dataset.from_list([{"prompt": word} for word in WORDS] * 40),
    )
    trainer.train()
    curve = [
        row["rewards/skreward/mean"]
        for row in trainer.state.log_history
        if "rewards/skreward/mean" in row
    ]
    assert len(curve) == 60
    first, last = np.mean(curve[:5]), np.mean(curve[-5:])
    spread = np.std(curve[:5])
    assert last > first + 1.0 > first + spread


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
def test_a_dotted_path_is_found_as_trl_finds_it(model, tmp_path, monkeypatch):
    needs("trl")
    save(model, tmp_path / "model.skops")
    (tmp_path / "my_rewards.py").write_text(
        "from skreward.integrations import TRLReward\n"
        f"reward = TRLReward({str(tmp_path / 'model.skops')!r})\n"
    )
    seen = {}

    class Trainer:
        def __init__(self, reward_funcs, **options):
            seen["functions"] = reward_funcs

        def __getattr__(self, name):
            raise Enough

    class Enough(Exception):
        pass

    import trl
    from trl.scripts import grpo

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trl, "GRPOTrainer", Trainer)
    monkeypatch.setattr("datasets.load_dataset", lambda *args, **kw: {"train": []})
    monkeypatch.setattr(sys, "path", list(sys.path))
    parser = grpo.make_parser()
    arguments = parser.parse_args_and_config(
        [
            "--model_name_or_path", str(tmp_path),
            "--dataset_name", "any",
            "--reward_funcs", "my_rewards.reward",
            "--output_dir", str(tmp_path / "run"),
            "--use_cpu", "true", "--bf16", "false", "--report_to", "none",
        ]
    )  # fmt: skip
    with pytest.raises(Enough):
        grpo.main(*arguments)
    (found,) = seen["functions"]
    assert found.__name__ == "skreward"
    assert found(["c"], ["a"]) == TRLReward(model)(["c"], ["a"])
