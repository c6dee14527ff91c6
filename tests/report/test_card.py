"""The report card: its figures, its page, and whatever it may be given."""

import gzip
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreward
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    BradleyTerryRegressorCV,
    CalibratedReward,
    ControlledReward,
    EmbeddingPairs,
    ItemwiseTransformer,
    PairwiseClassifierReward,
    RewardEnsemble,
    RewardMLPClassifier,
    TextStatisticsTransformer,
)
from skreward.datasets import make_preferences, make_text_preferences
from skreward.metrics import (
    best_of_n_curve,
    expected_calibration_error,
    order_consistency_score,
    preference_log_loss,
    risk_coverage_curve,
)
from skreward.report import ReportCard
from tests.report.pages import read_page, text_of
from tests.support import data_file


@pytest.fixture(scope="module")
def data():
    """Pairs of numbers."""
    return make_preferences(30, 8, 5, n_pairs=400, random_state=0)


@pytest.fixture(scope="module")
def texts():
    return make_text_preferences(30, 6, 400, random_state=0)


@pytest.fixture(scope="module")
def statistics(texts):
    """A reward of text statistics."""
    model = make_pipeline(
        TextStatisticsTransformer(),
        ItemwiseTransformer(StandardScaler()),
        BradleyTerryRegressor(alpha=0.01, covariance="cluster"),
    )
    return model.fit(texts.pairs[:200], texts.y[:200])


@pytest.fixture(scope="module")
def card(statistics, texts):
    return ReportCard.from_estimator(statistics, texts.pairs[200:], texts.y[200:])


def test_figures_are_those_of_the_metrics(card, statistics, texts):
    pairs, y = texts.pairs[200:], texts.y[200:]
    margin = statistics.predict(pairs)
    proba = skreward.predict_preference_proba(statistics, pairs)
    assert_allclose(card.order.model.value, order_consistency_score(y, margin))
    length = [len(p["response_a"]) - len(p["response_b"]) for p in pairs]
    longer = card.baselines[0]
    assert longer.name == "longer response"
    assert_allclose(longer.score.value, order_consistency_score(y, length))
    assert_allclose(longer.gain.value, card.order.model.value - longer.score.value)
    assert card.order.model.n_groups == len({p["prompt"] for p in pairs})
    [raw, tempered] = card.calibration.rows
    assert_allclose(raw.log_loss.value, preference_log_loss(y, margin), rtol=1e-6)
    assert_allclose(raw.error, expected_calibration_error(y, proba))
    assert tempered.error < 0.15
    curve = risk_coverage_curve(y, margin)
    assert_allclose(card.risk.area, curve.area)
    assert_allclose(card.risk.table[-1][:2], (1, 1 - card.order.model.value))
    assert card.risk.best_area < card.risk.area < 1 - card.order.model.value + 0.05


def test_parts_divide_the_pairs(card):
    known = {part.name: part for part in card.slices if part.rows}
    assert {"Ratio of the lengths", "Language", "Size of the margin"} <= set(known)
    for part in known.values():
        n = np.array([row.model.n_pairs for row in part.rows])
        value = np.array([row.model.value for row in part.rows])
        if part.name != "Length against the label":
            assert n.sum() == card.facts.n_pairs
            assert_allclose(n @ value / n.sum(), card.order.model.value)
    sizes = [row.model.value for row in known["Size of the margin"].rows]
    assert sizes[-1] > sizes[0] + 0.1
    missing = {part.name: part.missing for part in card.slices if not part.rows}
    assert missing["Code in a response"] == "no response has a code block"
    assert "turn" in missing["Turns of the dialogue"]


def test_what_it_pays_for_is_found(card, texts):
    """The true reward pays for topics named, which repeats the prompt."""
    found = {paid.feature: paid for paid in card.pays_for.features}
    assert len(found) >= 15
    repetition = found["prompt coverage"]
    assert repetition.model.lower > 0
    assert repetition.labels.lower > 0
    length = card.pays_for.length
    assert_allclose(length.model.value, found["log characters"].model.value)
    assert len(card.pays_for.coefficients) >= 15
    named = {c.feature for c in card.pays_for.coefficients}
    assert "prompt_coverage" in named
    assert all(c.lower < c.value < c.upper for c in card.pays_for.coefficients)


def test_pairs_to_read_are_the_worst(card, statistics, texts):
    pairs, y = texts.pairs[200:], texts.y[200:]
    margin = statistics.predict(pairs)
    worst = np.where((margin > 0) != (y > 0.5), np.abs(margin), -1)
    assert [e.pair for e in card.mistakes] == np.argsort(-worst)[:10].tolist()
    for example in card.mistakes:
        row, side = pairs[example.pair], "ba"[int(y[example.pair])]
        assert example.preferred == row[f"response_{side}"]
        assert example.prompt == row["prompt"]
        assert example.margin < 0
        assert example.probability < 0.5
        assert_allclose(example.probability, expit(example.margin), rtol=1e-5)
    doubts = [abs(e.margin) for e in card.doubtful]
    assert_allclose(doubts, np.sort(np.abs(margin))[:10])


def test_a_page_is_valid_alone_and_the_same_every_time(card, statistics, texts):
    html = card.to_html()
    said = text_of(read_page(html))
    assert f"Order consistency {card.order.model.value:.3f} on 200 pairs" in said
    for heading in ("How well it orders", "What it pays for", "Pairs to read"):
        assert heading in said
    again = ReportCard.from_estimator(statistics, texts.pairs[200:], texts.y[200:])
    assert again.to_html() == html
    assert "http" not in html.replace("http-equiv", "")


def test_a_card_is_json_and_shows_in_a_notebook(card):
    figures = json.loads(json.dumps(card.to_dict(), allow_nan=False))
    assert figures["order"]["model"]["value"] == card.order.model.value
    assert figures["mistakes"][0]["preferred"] == card.mistakes[0].preferred
    assert len(figures["calibration"]["rows"][0]["bins"][0]) == 5
    shown = card._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "<!DOCTYPE" not in shown
    assert repr(card).startswith(
        "ReportCard(model='BradleyTerryRegressor', n_pairs=200"
    )


def models():
    linear = BradleyTerryRegressor()
    network = BradleyTerryMLPRegressor((4,), max_iter=3, random_state=0)
    classifier = PairwiseClassifierReward(LogisticRegression())
    yield "linear", linear
    yield "probit", BradleyTerryRegressor(link="probit", covariance="laplace")
    yield "ties", BradleyTerryRegressor(ties="davidson")
    yield "linear cv", BradleyTerryRegressorCV(alphas=3, cv=3, random_state=0)
    yield "network", network
    yield "classifier", classifier
    yield (
        "classifier network",
        PairwiseClassifierReward(RewardMLPClassifier((4,), max_iter=3, random_state=0)),
    )
    yield "ensemble", RewardEnsemble(linear, n_estimators=3, random_state=0)
    yield "lower bound", RewardEnsemble(linear, n_estimators=3, aggregation="lcb")
    yield "calibrated", CalibratedReward(linear, cv=2)
    yield "calibrated classifier", CalibratedReward(classifier, cv=2)
    yield "isotonic", CalibratedReward(network, method="isotonic", cv=2)
    yield "controlled", ControlledReward(linear)
    yield "pipeline", make_pipeline(ItemwiseTransformer(StandardScaler()), linear)
    yield "search", GridSearchCV(linear, {"alpha": [0.1, 1]}, cv=2)


MODELS = dict(models())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_every_reward_has_a_card(name, data):
    train, test = data.pairs[:250], data.pairs[250:]
    own = {"covariates": train.embeddings[:, 0]} if name == "controlled" else {}
    model = MODELS[name].fit(train, data.y[:250], **own)
    card = ReportCard.from_estimator(model, test, data.y[250:])
    assert_allclose(card.order.model.value, model.score(test, data.y[250:]))
    html = card.to_html()
    said = text_of(read_page(html))
    rows = [row.name for row in card.calibration.rows]
    has_proba = name not in (
        "classifier", "classifier network", "ensemble", "lower bound", "controlled",
    )  # fmt: skip
    assert ("with a temperature from other prompts") in rows
    assert len(rows) == 1 + has_proba + (name in ("calibrated", "isotonic"))
    if not has_proba:
        assert "gives no probabilities" in said
    if name == "calibrated classifier":
        assert rows[0] == "after calibration"
        assert "The wrapped reward has no probabilities" in said
    # There are no texts, and every section that needs some says so in a line.
    for reason in ("neither texts nor lengths", "Named statistics need the texts"):
        assert reason in said
    assert "their texts are not known" in said
    assert card.facts.n_texts_cut is None


class PairRidge(Ridge):
    """A reward model of a few lines, which knows margins of pairs alone."""

    def fit(self, X, y):
        dense = X.to_dense()
        super().fit(dense[:, 0] - dense[:, 1], np.asarray(y) - 0.5)
        return self

    def predict(self, X):
        rewards = X.embeddings @ self.coef_.ravel()
        return rewards[X.index[:, 0]] - rewards[X.index[:, 1]]


def test_a_reward_of_ones_own(data):
    model = PairRidge().fit(data.pairs, data.y)
    card = ReportCard.from_estimator(model, data.pairs, data.y)
    assert card.about.name == "PairRidge"
    expected = order_consistency_score(data.y, model.predict(data.pairs))
    assert_allclose(card.order.model.value, expected)
    read_page(card.to_html())


def test_forms_of_one_set_of_pairs_have_one_card(data):
    model = BradleyTerryRegressor().fit(data.pairs, data.y)
    expected = ReportCard.from_estimator(model, data.pairs, data.y)
    dense = ReportCard.from_estimator(model, data.pairs.to_dense(), data.y)
    assert_allclose(dense.order.model.value, expected.order.model.value)
    assert dense.grouping != "prompts"
    swapped = ReportCard.from_estimator(model, data.pairs.swap(), 1 - data.y)
    assert_allclose(swapped.risk.risk, expected.risk.risk)
    assert swapped.order == expected.order
    assert_allclose(
        [row.log_loss.value for row in swapped.calibration.rows],
        [row.log_loss.value for row in expected.calibration.rows],
    )


def test_embeddings_beside_their_texts_are_as_good_as_texts(statistics, texts):
    """The pipeline taken apart: rows of the items, and their texts."""
    rows = statistics[:-1].transform(texts.texts)
    pairs = EmbeddingPairs(rows, texts.index, texts.prompt_ids)
    apart = ReportCard.from_estimator(statistics[-1], pairs, texts.y, texts=texts.texts)
    whole = ReportCard.from_estimator(statistics, texts.pairs, texts.y)
    assert_allclose(apart.order.model.value, whole.order.model.value)
    for a, b in zip(apart.slices, whole.slices, strict=True):
        assert [r.name for r in a.rows] == [r.name for r in b.rows]
    assert [e.preferred for e in apart.mistakes] == [
        e.preferred for e in whole.mistakes
    ]
    lengths = [len(row["response"]) for row in texts.texts]
    bare = ReportCard.from_estimator(statistics[-1], pairs, texts.y, lengths=lengths)
    assert bare.baselines[0] == whole.baselines[0]
    assert bare.mistakes[0].preferred is None


def test_rated_items_have_a_curve_of_best_of_n(statistics, texts):
    card = ReportCard.from_estimator(statistics, texts.texts, texts.rewards)
    curve = best_of_n_curve(
        texts.rewards, statistics.predict(texts.texts), texts.prompt_ids
    )
    assert_allclose(card.best_of_n.gain, curve.improvement)
    assert_allclose(card.best_of_n.kl, curve.kl)
    assert (card.best_of_n.best >= card.best_of_n.gain).all()
    said = text_of(read_page(card.to_html()))
    assert "Improvement of the rating, 30 prompts" in said
    rows = statistics[:-1].transform(texts.texts)
    apart = ReportCard.from_estimator(
        statistics[-1], rows, texts.rewards, prompt_ids=texts.prompt_ids
    )
    assert_allclose(apart.best_of_n.gain, card.best_of_n.gain)


def test_prompts_of_few_responses_are_left_out_of_best_of_n(statistics, texts):
    kept = np.r_[0:1, 6 : len(texts.texts)]
    items = [texts.texts[k] for k in kept]
    card = ReportCard.from_estimator(statistics, items, texts.rewards[kept])
    assert (card.best_of_n.n_prompts, card.best_of_n.n_left_out) == (29, 1)
    assert card.best_of_n.n[-1] == 5


def test_two_models_on_the_same_pairs(statistics, texts):
    other = make_pipeline(
        TextStatisticsTransformer(["length"]), BradleyTerryRegressor()
    )
    other.fit(texts.pairs[:200], texts.y[:200])
    pairs, y = texts.pairs[200:], texts.y[200:]
    card = ReportCard.from_estimator(
        statistics, pairs, y, other=other, name="all", other_name="length"
    )
    found = card.comparison
    scores = [order_consistency_score(y, m.predict(pairs)) for m in (statistics, other)]
    assert_allclose(found.gain.value, scores[0] - scores[1])
    assert_allclose(card.order.other.value, scores[1])
    shares = found.both + found.neither + found.only_model + found.only_other
    assert_allclose(shares, 1)
    assert_allclose(found.only_model - found.only_other, found.gain.value)
    # Paired: narrower than two intervals side by side would have it.
    ends = [(e.upper - e.lower) ** 2 for e in (card.order.model, card.order.other)]
    assert found.gain.upper - found.gain.lower < np.sqrt(sum(ends))
    for example in card.disagreements:
        assert example.margin * example.other_margin < 0
    said = text_of(read_page(card.to_html()))
    assert "Two models on the same pairs" in said
    assert "right by length alone" in said
    itself = ReportCard.from_estimator(statistics, pairs, y, other=statistics)
    assert (itself.comparison.gain.value, itself.comparison.gain.upper) == (0, 0)
    assert itself.disagreements == ()


def test_prompts_of_the_training_are_told(statistics, texts):
    card = ReportCard.from_estimator(statistics, texts.pairs, texts.y)
    seen = {row["prompt"] for row in texts.pairs[:200]}
    assert card.facts.n_prompts_trained_on == len(seen)
    said = text_of(read_page(card.to_html()))
    assert f"was trained on {len(seen)} of the" in said
    new = [k for k, row in enumerate(texts.pairs) if row["prompt"] not in seen]
    if new:
        assert card.new_prompts.model.n_pairs == len(new)


def test_what_is_odd_about_the_data_is_counted():
    rows = [
        {"prompt": "p", "response_a": "aa", "response_b": "b"},
        {"prompt": "p", "response_a": "b", "response_b": "aa"},
        {"prompt": "p", "response_a": "aa", "response_b": "b"},
        {"prompt": "q", "response_a": "same", "response_b": "same"},
        {"prompt": "q", "response_a": "", "response_b": "same"},
        {"prompt": "r", "response_a": "x", "response_b": "yy"},
    ]
    y = [1, 1, 0.5, 0.5, 0.7, 0]
    model = make_pipeline(
        TextStatisticsTransformer(["length"]), BradleyTerryRegressor()
    )
    model.fit(rows, y)
    card = ReportCard.from_estimator(model, rows, y)
    facts = card.facts
    assert (facts.n_pairs, facts.n_items, facts.n_prompts) == (6, 6, 3)
    assert (facts.n_ties, facts.n_soft, facts.n_repeated) == (2, 1, 2)
    assert (facts.n_contradictions, facts.n_equal_texts, facts.n_empty) == (1, 1, 1)
    agreement = next(p for p in card.slices if p.name == "Agreement of the labels")
    assert [row.name for row in agreement.rows] == [
        "all agree",
        "more than half",
        "even",
    ]
    assert 3 not in [example.pair for example in card.doubtful]
    said = text_of(read_page(card.to_html()))
    assert "1 pairs of items are labelled both ways" in said
    assert "(empty)" in said


def test_labels_that_are_soft_weighted_or_of_one_prompt(data):
    model = BradleyTerryRegressor().fit(data.pairs, data.y)
    rng = np.random.default_rng(0)
    soft, weight = rng.random(len(data.y)), rng.integers(0, 3, len(data.y))
    card = ReportCard.from_estimator(model, data.pairs, soft, sample_weight=weight)
    margin = model.predict(data.pairs)
    expected = order_consistency_score(soft, margin, sample_weight=weight)
    assert_allclose(card.order.model.value, expected)
    assert card.facts.n_weightless == (weight == 0).sum()
    read_page(card.to_html())
    one = data.pairs[data.pairs.pair_prompt_ids[:, 0] == data.pairs.prompt_ids[0]]
    single = ReportCard.from_estimator(model, one, None)
    assert single.order.model.lower is None
    said = text_of(read_page(single.to_html()))
    assert "no interval can be given" in said
    assert "A temperature needs pairs of two prompts" in said


def test_further_slices(data):
    model = BradleyTerryRegressor().fit(data.pairs, data.y)
    source = np.where(np.arange(len(data.y)) % 3, "forum", "shop")
    card = ReportCard.from_estimator(
        model, data.pairs, data.y, slices={"Source": source}
    )
    found = card.slices[-1]
    assert (found.name, [r.name for r in found.rows]) == ("Source", ["forum", "shop"])
    many = np.arange(len(data.y)) % 40
    card = ReportCard.from_estimator(model, data.pairs, data.y, slices={"Many": many})
    assert len(card.slices[-1].rows) == 11
    assert card.slices[-1].rows[-1].name == "others (30)"


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</style></title></svg><svg onload=alert(1)>",
    "zero \x00, bell \x07, escape \x1b[2J, \x85, \ufffe and \U0010ffff",
    "\u202eright to left\u202c and \u2067isolated",
    "{{ 7 * 7 }} {% raw %} $\\frac{1}{0}$ &amp; &#x41; \"quotes' `",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d \U0001f600",
    "",
    "x" * 10**6,
    "https://example.org/ javascript:alert(1)",
]


def test_texts_and_names_of_an_attacker(data):
    """Nothing that a text holds is an element, an attribute or a template."""
    n = len(HOSTILE)
    items = np.random.default_rng(0).normal(size=(2 * n, 3))
    index = np.column_stack([np.arange(n), n + np.arange(n)])
    pairs = EmbeddingPairs(items, index, np.repeat(np.arange(n), 2)[index.T.ravel()])
    rows = [{"prompt": text, "response": text} for text in HOSTILE]
    rows += [{"prompt": text, "response": text[::-1]} for text in HOSTILE]
    model = BradleyTerryRegressor(covariance="laplace").fit(pairs, None)
    evil = '"><script>alert(1)</script> $x_{ $ \x00 \ud800 {{ 1 }}'
    card = ReportCard.from_estimator(
        model, pairs, np.arange(n) % 2, texts=rows, name=evil, data_name=evil,
        other=model, other_name=evil * 50,
        slices={evil: [evil, "b"] * (n // 2), "_hidden": ["_x", "$"] * (n // 2)},
    )  # fmt: skip
    html = card.to_html()
    root = read_page(html)
    said = text_of(root)
    assert "<script>alert(1)</script>" in said
    assert "<img src=x onerror=alert(1)>" in said
    assert "{{ 7 * 7 }}" in said
    assert "[U+202E]right to left" in said
    assert "\u4f60\u597d" in said
    assert len(html) < 10**6
    json.dumps(card.to_dict(), allow_nan=False).encode()
    assert "<script" not in html
    assert len(list(root.iter("title"))) == 1


@pytest.mark.realdata
def test_judged_responses():
    """Length does better than the model; a temperature mends a model that is shy."""
    file = np.load(data_file("judged_dev_minilm.npz"))
    prompt = file["prompt_id"]
    kept = np.isin(prompt, np.unique(prompt)[:60])
    with gzip.open(data_file("judged_dev.jsonl.gz"), "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line, k in zip(lines, kept, strict=True) if k]
    items = file["embeddings"][kept].astype(np.float32)
    prompt, rating = prompt[kept], file["golden_reward"][kept]
    train = prompt <= np.unique(prompt)[29]
    model = BradleyTerryRegressor(max_pairs=20_000, random_state=0)
    model.fit(items[train], rating[train], prompt_ids=prompt[train])
    card = ReportCard.from_estimator(
        model,
        items[~train],
        rating[~train],
        prompt_ids=prompt[~train],
        texts=[row for row, is_train in zip(rows, train, strict=True) if not is_train],
    )
    read_page(card.to_html())
    assert card.facts.n_pairs == 20_000
    assert card.facts.n_prompts_trained_on == 0
    assert card.order.model.lower > 0.6
    assert card.baselines[0].score.value > 0.65
    assert card.order.model.value - card.similar_length.model.value > 0.04
    raw, tempered = card.calibration.rows
    assert tempered.log_loss.value < raw.log_loss.value
    best = card.best_of_n
    assert best.n[-1] == 50
    assert best.gain[-1] - best.half_width[-1] > 0
    assert card.pays_for.length.model.lower > 0.3
    size = next(p for p in card.slices if p.name == "Size of the margin").rows
    assert size[0].model.upper < size[-1].model.lower


@pytest.mark.realdata
def test_dialogues_of_people():
    with gzip.open(data_file("hh_harmless_dev.jsonl.gz"), "rt") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [{name: row[name] for name in ("chosen", "rejected")} for row in rows]
    model = make_pipeline(
        TextStatisticsTransformer(),
        ItemwiseTransformer(StandardScaler()),
        BradleyTerryRegressor(alpha=0.01),
    ).fit(rows[:850])
    card = ReportCard.from_estimator(model, rows[850:])
    said = text_of(read_page(card.to_html()))
    assert card.order.model.lower > 0.5
    assert card.baselines[0].score.upper < 0.5
    turns = next(p for p in card.slices if p.name == "Turns of the dialogue")
    assert len(turns.rows) == 4
    assert "of 850 pairs" in said or "on 850 pairs" in said
    assert "trained on 1 of the 850 prompts" in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"y": None, "X": "items"}, "y is None: items"),
        ({"y": [1, 0], "X": "items"}, "y has 2 ratings for 240 items"),
        ({"y": [1, 0]}, "y has 2 labels for 400 pairs"),
        ({"prompt_ids": [1]}, "prompt_ids go with rated items"),
        ({"lengths": [1.0]}, r"lengths must have shape \(240,\)"),
        ({"lengths": np.full(240, -1.0)}, "lengths must be at least 0"),
        ({"texts": [{"prompt": "a", "response": "b"}]}, "each of the 240 items"),
        ({"slices": {"s": [1]}}, r"slices\['s'\] must hold one value a pair"),
        ({"confidence_level": 2}, "confidence_level must lie in"),
        ({"n_examples": -1}, "n_examples must be an integer of at least 0"),
        ({"sample_weight": np.zeros(400)}, "Sample weights must contain at least one"),
    ],
)
def test_what_is_refused(data, change, told):
    model = BradleyTerryRegressor().fit(data.pairs, data.y)
    given = {"X": data.pairs, "y": data.y} | change
    if change.get("X") == "items":
        given["X"] = data.embeddings
    with pytest.raises(ValueError, match=told):
        ReportCard.from_estimator(model, **given)


def test_a_margin_that_is_no_number_is_refused(data):
    model = PairRidge().fit(data.pairs, data.y)
    model.coef_ = model.coef_ * np.nan
    with pytest.raises(ValueError, match="PairRidge must predict a finite margin"):
        ReportCard.from_estimator(model, data.pairs, data.y)


def test_texts_stay_out_on_request(statistics, texts):
    card = ReportCard.from_estimator(
        statistics, texts.pairs, texts.y, n_examples=0, other=statistics
    )
    html = card.to_html()
    read_page(html)
    for row in texts.texts[:50]:
        assert row["response"] not in html
    assert "lovely question" not in json.dumps(card.to_dict())


def test_no_folder_of_this_machine_is_shown(tmp_path):
    from tests.tiny_models import save_tiny

    folder = tmp_path / "secret" / "tiny-llama"
    folder.mkdir(parents=True)
    model = make_pipeline(
        skreward.LLMEmbeddingTransformer(
            model=save_tiny(folder), max_length=8, cache_dir=str(tmp_path / "cache")
        ),
        BradleyTerryRegressor(),
    )
    rows = [
        {"prompt": f"a {w}", "chosen": "one two three four a b c d " * 2, "rejected": w}
        for w in "abcdefgh"
    ]
    model.fit(rows)
    card = ReportCard.from_estimator(model, rows)
    html = card.to_html()
    read_page(html)
    assert "secret" not in html
    assert str(tmp_path) not in json.dumps(card.to_dict())
    assert card.about.encoder["model"] == "tiny-llama"
    assert card.facts.n_texts_cut == 8
    assert card.facts.n_pairs_cut == 8
    norm = card.baselines[1]
    assert norm.name.startswith("larger norm")
    assert norm.score is not None
