"""Text preferences with a known reward, made without any download."""

import re

import numpy as np
from sklearn.utils import Bunch, check_random_state

from skreward.annotation.annotators import annotate
from skreward.annotation.designs import sample_pairs
from skreward.utils.checks import check_count
from skreward.utils.typing import RandomState

__all__ = ["make_text_preferences", "text_reward"]

TOPICS = (
    "sourdough bread",
    "a road bicycle",
    "tomato plants",
    "a classical guitar",
    "a household budget",
    "a young puppy",
    "a job interview",
    "a vegetable soup",
    "a mountain hike",
    "a wooden bookshelf",
    "a French vocabulary",
    "a leaking tap",
    "a birthday party",
    "a marathon",
    "a houseplant",
    "a wedding speech",
    "a compost heap",
    "a watercolour painting",
    "a used car",
    "a chess opening",
)
QUESTIONS = (
    "How do I get started with {topic}?",
    "What should I know about {topic}?",
    "Can you help me with {topic}?",
    "What are common mistakes with {topic}?",
    "I have one free weekend for {topic}. What now?",
    "My friend asked me about {topic}. What should I say?",
    "Is it worth the effort to deal with {topic}?",
    "Explain {topic} to a beginner.",
)
USEFUL = (
    "Begin with a simple plan for {topic} and write it down.",
    "Gather what you need for {topic} a day before.",
    "Ask somebody with experience to look at {topic} with you.",
    "Set aside half an hour a day for {topic}.",
    "Compare two or three guides to {topic} and keep what they share.",
    "Check {topic} every week and note what has changed.",
)
KIND = (
    "Thank you for asking, it is a lovely question.",
    "You are doing great, and I am glad to help.",
    "Please take your time, you will enjoy it.",
    "I am happy that you want to learn this.",
)
RUDE = (
    "That is a stupid thing to ask.",
    "You are far too lazy for it.",
    "Honestly, only an idiot would need help here.",
    "Stop wasting my time with this nonsense.",
)
EMPTY = (
    "Some say one thing and others say another.",
    "It depends on many things, as it often does.",
    "There is a lot that could be written here.",
    "Time goes by, and the weather changes.",
    "It has been like this for as long as one can tell.",
    "Many people have many opinions, all of them different.",
)
KIND_WORDS = ("thank", "glad", "please", "happy")
RUDE_WORDS = ("stupid", "lazy", "idiot", "nonsense")


def text_reward(prompt: str, response: str) -> float:
    """Give the true reward of a response of `make_text_preferences`.

    Sentences that name the prompt's topic count +1 each, sentences with a kind word
    (thank, glad, please, happy) +0.5, sentences with a rude word (stupid, lazy,
    idiot, nonsense) -1.5, and any other sentence -0.25.

    Parameters
    ----------
    prompt, response : str
        A prompt that names one of the topics, and any text.

    Returns
    -------
    reward : float

    Raises
    ------
    ValueError
        If the prompt names no topic of `make_text_preferences`.

    Examples
    --------
    >>> from skreward.datasets import text_reward
    >>> text_reward("Explain a chess opening to a beginner.",
    ...             "I am glad to help. Check a chess opening every week. So it goes.")
    1.25
    """
    topic = next((topic for topic in TOPICS if topic in prompt), None)
    if topic is None:
        raise ValueError(f"the prompt {prompt!r} names no topic.")
    reward = 0.0
    for sentence in re.split(r"(?<=[.!?])\s+", response.strip()):
        words = sentence.lower()
        if topic in sentence:
            reward += 1.0
        elif any(word in words for word in RUDE_WORDS):
            reward -= 1.5
        elif any(word in words for word in KIND_WORDS):
            reward += 0.5
        elif sentence:
            reward -= 0.25
    return reward


def make_text_preferences(
    n_prompts: int = 100,
    n_responses: int = 16,
    n_pairs: int = 3000,
    *,
    beta: float = 3.0,
    random_state: RandomState = None,
) -> Bunch:
    """Generate preference pairs over texts, of which the true reward is known.

    A prompt asks a question about a topic. A response is one to eight sentences,
    useful, kind, rude or empty, in proportions of its own; its true reward is
    `text_reward`, a function of prompt and response alone. Empty sentences make a
    response longer and worse, so that length alone says little. Pairs are drawn
    within prompts and labelled by `skreward.annotation.annotate`.

    Parameters
    ----------
    n_prompts : int, default=100
        Distinct prompts, at most 160.
    n_responses : int, default=16
        Distinct responses to each.
    n_pairs : int, default=3000
        Comparisons.
    beta : float, default=3.0
        Reliability of the annotator, in units of the rewards' standard deviation;
        ``np.inf`` gives labels without noise, 0 coin flips.
    random_state : int, RandomState instance or None, default=None
        Seed of everything drawn.

    Returns
    -------
    data : Bunch
        ``pairs``: list of dicts ``prompt, response_a, response_b``, one a pair, which
        `skreward.LLMEmbeddingTransformer` reads; ``y``: labels ``(n_pairs,)``, 1
        where ``response_a`` is preferred; ``texts``: list of dicts ``prompt,
        response``, prompt by prompt; ``rewards`` (true) and ``prompt_ids``
        ``(n_items,)``; ``index``: the items of every pair, ``(n_pairs, 2)``.

    Raises
    ------
    ValueError
        If an argument is malformed, or there are not so many prompts.

    See Also
    --------
    make_preferences : The same without texts.

    Examples
    --------
    >>> from skreward.datasets import make_text_preferences
    >>> data = make_text_preferences(n_prompts=2, n_responses=3, n_pairs=4,
    ...                              random_state=0)
    >>> sorted(data.pairs[0])
    ['prompt', 'response_a', 'response_b']
    >>> len(data.texts), data.rewards.shape, data.y.shape
    (6, (6,), (4,))
    """
    n_prompts = check_count(n_prompts, "n_prompts")
    n_responses = check_count(n_responses, "n_responses")
    n_pairs = check_count(n_pairs, "n_pairs")
    known = [(topic, question) for topic in TOPICS for question in QUESTIONS]
    if n_prompts > len(known):
        raise ValueError(f"n_prompts must be at most {len(known)}, got {n_prompts}.")
    rng = check_random_state(random_state)
    items = []
    for k in rng.permutation(len(known))[:n_prompts]:
        topic, question = known[k]
        prompt = question.format(topic=topic)
        responses: dict[str, None] = {}
        while len(responses) < n_responses:
            responses[_response(topic, rng)] = None
        items += [{"prompt": prompt, "response": text} for text in responses]
    rewards = np.array([text_reward(**item) for item in items])
    prompt_ids = np.repeat(np.arange(n_prompts), n_responses)
    index = sample_pairs(prompt_ids, n_pairs, random_state=rng)
    y = annotate(rewards, index, beta=beta, random_state=rng)
    pairs = [
        {
            "prompt": items[first]["prompt"],
            "response_a": items[first]["response"],
            "response_b": items[second]["response"],
        }
        for first, second in index
    ]
    return Bunch(
        pairs=pairs,
        y=y,
        texts=items,
        rewards=rewards,
        prompt_ids=prompt_ids,
        index=index,
    )


def _response(topic, rng):
    share = rng.dirichlet([1.0, 0.6, 0.5, 1.0])
    kinds = rng.choice(4, size=rng.randint(1, 9), p=share)
    banks = (USEFUL, KIND, RUDE, EMPTY)
    chosen = [banks[kind][rng.randint(len(banks[kind]))] for kind in kinds]
    sentences = dict.fromkeys(chosen)
    return " ".join(sentence.format(topic=topic) for sentence in sentences)
