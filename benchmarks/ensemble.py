"""Time of an ensemble of networks: one batched computation, and a Python loop.

    python -m benchmarks.ensemble --members 20 --epochs 3

The loop is what one would write instead: a list of ``torch.nn.Sequential`` heads on
the embeddings, the sum of their losses, one Adam over all of them, float32, batches of
512 pairs. It is timed twice: every head on every pair, and every head on the pairs of a
bootstrap, as the members of `RewardEnsemble` are trained. Heads are alike: two hidden
layers of 128. Runs take turns, and the fastest of each counts. The score is the share
of golden orders kept on pairs of unseen prompts.

Judged responses where the folder named by SKREWARD_DATA has them, else synthetic ones.
"""

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import Bunch
from torch import nn
from torch.nn import functional as F

from benchmarks.order_consistency import make_task
from skreward import BradleyTerryMLPRegressor, RewardEnsemble
from skreward.data.groups import bootstrap_weights, resampling_groups
from skreward.datasets import make_preferences
from skreward.metrics import order_consistency_score

SIZES = (128, 128)
BATCH = 512


def load(n_pairs, seed):
    """Training pairs of 384 features, and golden orders of unseen prompts."""
    folder = Path(
        os.environ.get("SKREWARD_DATA", Path(__file__).parents[2] / "shared" / "data")
    )
    path = folder / "judged_dev_minilm.npz"
    if path.exists():
        from skreward.datasets import load_judged

        return make_task(load_judged(path), seed, n_pairs=n_pairs), path.name
    made = make_preferences(
        n_prompts=500, n_responses=50, n_features=384, n_pairs=2 * n_pairs,
        random_state=seed,
    )  # fmt: skip
    is_unseen = made.pairs.pair_prompt_ids[:, 0] >= 400
    unseen = made.pairs.index[is_unseen]
    golden = made.rewards[unseen[:, 0]] > made.rewards[unseen[:, 1]]
    task = Bunch(
        pairs=made.pairs[~is_unseen][:n_pairs], y=made.y[~is_unseen][:n_pairs],
        unseen=unseen, golden=golden.astype(int),
    )  # fmt: skip
    return task, "make_preferences"


def loop(task, items, members, epochs, seed, *, bootstrap):
    """Give rewards of the items by heads that are stepped through in a loop."""
    index, y = torch.from_numpy(task.pairs.index), torch.from_numpy(task.y).float()
    here = torch.from_numpy(items)
    generator = torch.Generator().manual_seed(seed)
    heads = [
        nn.Sequential(
            nn.Linear(items.shape[1], SIZES[0]), nn.ReLU(),
            nn.Linear(*SIZES), nn.ReLU(), nn.Linear(SIZES[1], 1),
        )
        for _ in range(members)
    ]  # fmt: skip
    optimizer = torch.optim.Adam([p for h in heads for p in h.parameters()], lr=1e-3)
    groups = resampling_groups(task.pairs.index, task.pairs.prompt_ids)
    rng = np.random.RandomState(seed)
    weight = np.ones((members, len(y)))
    if bootstrap:
        weight = np.stack([bootstrap_weights(groups, rng) for _ in heads])
    weight = torch.from_numpy(weight).float()
    own = [torch.nonzero(w).ravel() for w in weight]
    for _ in range(epochs):
        if bootstrap:
            orders = [o[torch.randperm(len(o), generator=generator)] for o in own]
        else:
            orders = [torch.randperm(len(y), generator=generator)] * members
        for start in range(0, max(map(len, orders)), BATCH):
            loss, shared = 0.0, None
            for head, order, w in zip(heads, orders, weight, strict=True):
                k = order[start : start + BATCH]
                if not len(k):
                    continue
                if bootstrap or shared is None:
                    shared = here[index[k].T.reshape(-1)]
                first, second = head(shared).squeeze(1).chunk(2)
                losses = F.binary_cross_entropy_with_logits(
                    first - second, y[k], reduction="none"
                )
                loss = loss + (w[k] * losses).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return np.mean([head(here).squeeze(1).numpy() for head in heads], axis=0)


def batched(task, items, members, epochs, seed, *, bootstrap):
    """Give rewards of the items by `RewardEnsemble`, without early stopping."""
    head = BradleyTerryMLPRegressor(
        SIZES, batch_size=BATCH, max_iter=epochs, early_stopping=False, alpha=0.0
    )
    model = RewardEnsemble(head, members, bootstrap=bootstrap, random_state=seed)
    pairs = type(task.pairs)(items, task.pairs.index, task.pairs.prompt_ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(pairs, task.y).predict(items)


class Outcome(NamedTuple):
    """Fastest seconds of a run, and its order consistency on unseen prompts."""

    seconds: float
    score: float


def compare(task, members, epochs, repeats, seed=0):
    """Take turns; gives the outcome of ("loop" or "batched", with bootstraps)."""
    items = np.ascontiguousarray(task.pairs.embeddings, dtype=np.float32)
    found = {}
    for _ in range(repeats):
        for bootstrap in (False, True):
            for run in (loop, batched):
                started = time.perf_counter()
                reward = run(task, items, members, epochs, seed, bootstrap=bootstrap)
                seconds = time.perf_counter() - started
                key = run.__name__, bootstrap
                if key in found:
                    seconds = min(seconds, found[key].seconds)
                margin = reward[task.unseen[:, 0]] - reward[task.unseen[:, 1]]
                score = order_consistency_score(task.golden, margin)
                found[key] = Outcome(seconds, score)
    return found


def main():
    """Print times, scores and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    task, source = load(args.pairs, args.seed)
    found = compare(task, args.members, args.epochs, args.repeats, args.seed)
    print(
        f"{source}: {task.pairs!r}, {args.members} members of {SIZES}, "
        f"{args.epochs} epochs, {torch.get_num_threads()} threads, float32"
    )
    print(f"{'':24}{'seconds':>9}{'an epoch':>10}{'order consistency':>19}")
    for (name, bootstrap), (seconds, score) in found.items():
        label = f"{name}, {'bootstrap' if bootstrap else 'all pairs'}"
        print(f"{label:24}{seconds:9.2f}{seconds / args.epochs:10.2f}{score:19.4f}")
    for bootstrap in (False, True):
        like = found["loop", bootstrap].seconds / found["batched", bootstrap].seconds
        what = "bootstrap" if bootstrap else "all pairs"
        print(f"{what}: {like:.2f}x the speed of the same loop")
    whole = found["loop", False].seconds / found["batched", True].seconds
    print(f"RewardEnsemble: {whole:.2f}x the plain loop")


if __name__ == "__main__":
    main()
