"""Loaders of published reward data: embeddings by prompt and response, and rewards."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

from skreward.data.shards import open_folder
from skreward.utils.typing import FilePath

JUDGED_FIELDS = (
    "embeddings",
    "prompt_id",
    "generator",
    "golden_reward",
    "response_chars",
)


def load_released_embeddings(
    path: FilePath,
    rewards: FilePath | None = None,
    *,
    split: str = "train",
    contains: str = "",
    response_axis: Literal[0, 1] = 1,
) -> Bunch:
    """Open published response embeddings and their golden rewards, without a copy.

    The embeddings are one ``.npy`` array over prompts, responses and features;
    they are memory-mapped read-only and viewed as one row an item, so that a file
    larger than memory opens at once. Nothing in the files is executed.

    Parameters
    ----------
    path : str or path
        The embeddings' ``.npy`` file, or the folder of the published files. In a
        folder the files named ``embd*`` and ``reward*`` (in any case) that name
        the split, and agree in the rest of their names, belong together.
    rewards : str or path, default=None
        The rewards' ``.npy`` file; needed where ``path`` is a file.
    split : str, default="train"
        Which split to open from a folder: a part of the file names.
    contains : str, default=""
        Another part of the file names, where a folder holds several sets.
    response_axis : {0, 1}, default=1
        The axis that counts responses: 1 for ``(n_prompts, n_responses,
        n_features)``, 0 for ``(n_responses, n_prompts, n_features)``. Both have
        been published, and shapes alone do not tell them apart.

    Returns
    -------
    data : Bunch
        ``embeddings``: read-only memory map ``(n_items, n_features)`` of the
        file's dtype; ``rewards`` ``(n_items,)``, float64; ``prompt_ids``
        ``(n_items,)``: the prompt's position; ``n_prompts``, ``n_responses``.
        Items are in the order of the file, the one that
        `EmbeddingPairs.from_candidates` uses.

    Raises
    ------
    FileNotFoundError
        If the path, or a matching pair of files, is not there.
    ValueError
        If several sets match, or the arrays do not have the shapes described, do
        not agree, are stored in Fortran order, or hold objects.

    Warns
    -----
    UserWarning
        If there are more responses than prompts: ``response_axis`` may be wrong.

    References
    ----------
    H. Sun, Y. Shen, J.-F. Ton, M. van der Schaar, "Reusing Embeddings:
    Reproducible Reward Model Research in Large Language Model Alignment without
    GPUs", arXiv:2502.04357, 2025.

    Examples
    --------
    >>> import numpy as np, tempfile, pathlib
    >>> from skreward.datasets import load_released_embeddings
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> np.save(folder / "embd_a_train.npy", np.zeros((5, 3, 4), np.float32))
    >>> np.save(folder / "reward_a_train.npy", np.zeros((5, 3, 1)))
    >>> data = load_released_embeddings(folder)
    >>> data.embeddings.shape, data.prompt_ids[:4].tolist()
    ((15, 4), [0, 0, 0, 1])
    """
    if response_axis not in (0, 1):
        raise ValueError(f"response_axis must be 0 or 1, got {response_axis!r}.")
    path = Path(path)
    if path.is_dir():
        if rewards is not None:
            raise ValueError("rewards is found in the folder: give it with a file.")
        path, rewards = _find_files(path, split, contains)
    elif rewards is None:
        raise ValueError(f"rewards is needed: the .npy file that belongs to {path}.")
    candidates = np.load(path, mmap_mode="r", allow_pickle=False)
    golden = np.load(rewards, mmap_mode="r", allow_pickle=False)
    if candidates.ndim != 3 or candidates.dtype.kind != "f":
        raise ValueError(
            f"{path} must hold a floating array over prompts, responses and features, "
            f"got {candidates.dtype} of shape {candidates.shape}."
        )
    if not candidates.flags.c_contiguous:
        raise ValueError(
            f"{path} is stored in Fortran order: rows cannot be viewed without a "
            "copy. Save it again from np.ascontiguousarray."
        )
    if golden.shape not in (candidates.shape[:2], (*candidates.shape[:2], 1)):
        raise ValueError(
            f"{rewards} must have shape {candidates.shape[:2]} like the embeddings, "
            f"got {golden.shape}."
        )
    n_responses = candidates.shape[response_axis]
    n_prompts = candidates.shape[1 - response_axis]
    if n_responses > n_prompts:
        warnings.warn(
            f"{path} holds {n_responses} responses to {n_prompts} prompts: is it "
            f"response_axis={1 - response_axis}?",
            stacklevel=2,
        )
    prompts = np.arange(n_prompts)
    return Bunch(
        embeddings=candidates.reshape(-1, candidates.shape[2]),
        rewards=np.asarray(golden, dtype=np.float64).ravel(),
        prompt_ids=(
            np.repeat(prompts, n_responses)
            if response_axis == 1
            else np.tile(prompts, n_responses)
        ),
        n_prompts=n_prompts,
        n_responses=n_responses,
    )


def load_judged(path: FilePath) -> Bunch:
    """Load embedded responses of many language models with a judge's rewards.

    Parameters
    ----------
    path : str or path
        A ``.npz`` file with ``embeddings`` ``(n_items, n_features)`` and, one an
        item, ``prompt_id``, ``generator``, ``golden_reward`` and
        ``response_chars``. Nothing in it is executed.

    Returns
    -------
    data : Bunch
        ``embeddings`` in the file's dtype (float16 stays float16), ``rewards``
        (float64), ``prompt_ids``, ``generators``, ``response_chars``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no ``.npz`` file, or lacks an array, or the arrays disagree.

    Examples
    --------
    >>> import numpy as np, tempfile, pathlib
    >>> from skreward.datasets import load_judged
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "judged.npz"
    >>> np.savez(path, embeddings=np.zeros((3, 2), np.float16), prompt_id=[7, 7, 9],
    ...          generator=["m", "n", "m"], golden_reward=[0.5, -1.0, 2.0],
    ...          response_chars=[120, 80, 95])
    >>> data = load_judged(path)
    >>> data.embeddings.dtype, data.prompt_ids.tolist()
    (dtype('float16'), [7, 7, 9])
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = sorted(set(JUDGED_FIELDS) - set(file))
            if missing:
                raise ValueError(f"{path} lacks the arrays {', '.join(missing)}.")
            fields = {name: file[name] for name in JUDGED_FIELDS}
    except (AttributeError, TypeError) as error:  # a .npy array has no such methods
        raise ValueError(f"{path} is no .npz file.") from error
    embeddings = fields["embeddings"]
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise ValueError(
            f"{path}: embeddings must be a floating array of shape (n_items, "
            f"n_features), got {embeddings.dtype} of shape {embeddings.shape}."
        )
    for name, values in fields.items():
        if name != "embeddings" and values.shape != embeddings.shape[:1]:
            raise ValueError(
                f"{path}: {name} must have shape {embeddings.shape[:1]}, got "
                f"{values.shape}."
            )
    return Bunch(
        embeddings=embeddings,
        rewards=fields["golden_reward"].astype(np.float64),
        prompt_ids=fields["prompt_id"],
        generators=fields["generator"],
        response_chars=fields["response_chars"],
    )


def _find_files(folder, split, contains):
    """Give the one pair of embeddings and rewards whose names match."""
    rest_of = {}
    for kind in "embd", "reward":
        rest_of[kind] = {
            file.name.lower().removeprefix(kind): file
            for file in sorted(folder.glob("*.npy"))
            if file.name.lower().startswith(kind)
            and split.lower() in file.name.lower()
            and contains.lower() in file.name.lower()
        }
    both = sorted(set(rest_of["embd"]) & set(rest_of["reward"]))
    if not both:
        raise FileNotFoundError(
            f"{folder} holds no embd*.npy with its reward*.npy for split={split!r}, "
            f"contains={contains!r}."
        )
    if len(both) > 1:
        names = ", ".join(rest_of["embd"][rest].name for rest in both)
        raise ValueError(
            f"{folder} holds several sets: narrow contains= to one of {names}."
        )
    return rest_of["embd"][both[0]], rest_of["reward"][both[0]]


def load_embeddings(folder: FilePath) -> Bunch:
    """Open a folder that ``skreward embed`` wrote, without reading its embeddings.

    Embeddings and statistics stay on the disk, in shards that NumPy maps into memory;
    they may be larger than memory. What is said of each item, a few dozen bytes, is
    read. Nothing in the files is executed, and no file outside of the folder is opened.

    Parameters
    ----------
    folder : str or path
        The folder; all of its shards must be there.

    Returns
    -------
    data : Bunch
        ``embeddings``: lazy rows ``(n_items, n_features)`` of float32 or float16, an
        item a row, which slices, index arrays and masks pick from, and
        `numpy.asarray` reads as a whole; ``embeddings.shard(k)`` maps file k of
        ``embeddings.n_shards``. ``statistics``: lazy rows of the columns of
        `TextStatisticsTransformer`, ``statistics_names`` in all.

        ``prompt_ids`` ``(n_items,)``: equal where prompts are equal, as in the
        container of pairs that texts give; ``text_hashes`` ``(n_items, 16)``;
        ``response_chars`` ``(n_items,)``.

        ``index`` ``(n_pairs, 2)``: the items of every pair in the data, a pair of one
        text with itself left out, and ``y``, P(first preferred), None where the data
        say nothing; both None where a row of the data is one response. Then
        ``row_items`` ``(n_rows,)`` has the item of every row, and ``ratings`` its
        rating, None where there is none. ``lines``: the line of the data that each
        pair, or row, begins at.

        ``encoder``: how the texts were embedded; ``data``: what they were.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no folder of embeddings, is not finished, or holds a file that is
        not what the manifest says.

    See Also
    --------
    skreward.LLMEmbeddingTransformer : The same embeddings, of texts in memory.

    Examples
    --------
    >>> from skreward import BradleyTerryRegressor, EmbeddingPairs
    >>> from skreward.datasets import load_embeddings
    >>> data = load_embeddings("embedded")  # doctest: +SKIP
    >>> data.embeddings  # doctest: +SKIP
    ShardedRows(shape=(1000000, 384), dtype=float16, n_shards=245)
    >>> pairs = EmbeddingPairs(
    ...     data.embeddings, data.index, data.prompt_ids
    ... )  # doctest: +SKIP
    >>> BradleyTerryRegressor().fit(pairs, data.y)  # doctest: +SKIP
    BradleyTerryRegressor()
    """
    found = open_folder(folder)
    about, labels, lines = found.about, found.labels, found.lines
    index = row_items = None
    if found.is_pairs:
        kept = found.rows[:, 0] != found.rows[:, 1]
        index, lines = found.rows[kept], lines[kept]
        labels = None if labels is None else labels[kept]
    else:
        row_items = found.rows
    return Bunch(
        embeddings=found.embeddings,
        statistics=found.statistics,
        statistics_names=about["statistics"],
        prompt_ids=found.prompt_ids,
        text_hashes=found.text_hashes,
        response_chars=found.lengths,
        index=index,
        y=labels if found.is_pairs else None,
        row_items=row_items,
        ratings=None if found.is_pairs else labels,
        lines=lines,
        encoder=about["encoder"],
        data=about["data"],
    )
