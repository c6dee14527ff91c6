"""A fitted reward as a reward function of TRL's trainers."""

from os import PathLike
from threading import Lock
from typing import Any

import numpy as np

from skreward.persistence import load
from skreward.text.items import value_key


class TRLReward:
    r"""A reward function for TRL: prompts and completions in, rewards out.

    .. math:: (x_k, y_k)_k \mapsto (r(x_k, y_k))_k

    For ``GRPOTrainer(reward_funcs=TRLReward("model.skops"))`` and TRL's other trainers
    with reward functions. It runs where the trainer calls it, on the CPU unless the
    model's encoder says otherwise, and computes every distinct completion once.

    Parameters
    ----------
    model : estimator, str or path-like
        A fitted Pipeline from texts to rewards, or a file of `skreward.save`.
    name : str, default="skreward"
        By which TRL logs the reward.

    Notes
    -----
    The model writes prompt and completion as one text by its own template. TRL's
    policies see strings joined without anything between them: a model that is to see
    the same is fitted with ``LLMEmbeddingTransformer(template="{prompt}{response}")``.
    Chat messages go through the chat template of the model's encoder.

    Threads may call it at once. It is pickled with its model, whose encoder is loaded
    again from where it lies.

    Examples
    --------
    In a file ``rewards.py``, for ``trl grpo --reward_funcs rewards.reward``:

    >>> from skreward.integrations import TRLReward
    >>> reward = TRLReward("model.skops")  # doctest: +SKIP
    >>> reward(prompts=["2 + 2?"], completions=["4"])  # doctest: +SKIP
    [0.7]
    """

    def __init__(self, model: Any | str | PathLike[str], name: str = "skreward"):
        is_file = isinstance(model, str | PathLike)
        self.model: Any = load(model) if is_file else model
        if not hasattr(self.model, "predict"):
            raise TypeError(
                "model must be a fitted reward model or the path of its file, got "
                f"{type(model).__name__}."
            )
        self.__name__ = name
        self._lock = Lock()

    def __call__(
        self, prompts: list[Any], completions: list[Any], **columns: Any
    ) -> list[float | None]:
        """Give the reward of every completion.

        Parameters
        ----------
        prompts : list of str, or of lists of chat messages
            One a completion.
        completions : list of str, of lists of chat messages, or of None
            As many.
        **columns : object
            What TRL passes along; not looked at.

        Returns
        -------
        rewards : list of float or None
            None where the completion is None.

        Raises
        ------
        ValueError
            If there are not as many prompts as completions, or a text cannot be read.
        """
        if len(prompts) != len(completions):
            raise ValueError(
                f"{len(prompts)} prompts have {len(completions)} completions."
            )
        place: dict[tuple[str, str], int] = {}
        rows: list[dict[str, Any]] = []
        places: list[int | None] = []
        for prompt, completion in zip(prompts, completions, strict=True):
            if completion is None:
                places.append(None)
                continue
            key = value_key(prompt), value_key(completion)
            if key not in place:
                place[key] = len(rows)
                rows.append({"prompt": prompt, "response": completion})
            places.append(place[key])
        if not rows:
            return [None] * len(places)
        with self._lock:
            rewards = np.asarray(self.model.predict(rows))
        return [None if k is None else float(rewards[k]) for k in places]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"TRLReward(name={self.__name__!r})"
