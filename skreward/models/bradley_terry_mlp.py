"""Bradley-Terry by a network: a reward from the likelihood of preferences."""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal

from sklearn.utils import check_random_state

from skreward.data.pairs import PairsOrItems
from skreward.models.likelihood import LikelihoodReward
from skreward.models.network import CONSTRAINTS, NetworkMixin
from skreward.objectives import OBJECTIVES, TIES
from skreward.solvers.theta import best_theta
from skreward.utils.arrays import compute_dtype
from skreward.utils.compat import Interval, StrOptions, fit_context
from skreward.utils.typing import ArrayLike, Link, RandomState, TiesLaw

__all__ = ["BradleyTerryMLPRegressor"]


class BradleyTerryMLPRegressor(NetworkMixin, LikelihoodReward):
    r"""Reward r(x) of a network that makes observed preferences likely.

    .. math:: \min_r \; \frac{1}{\sum_k w_k} \sum_k w_k \left[
              -y_k \log F(m_k) - (1 - y_k) \log F(-m_k) \right]
              + \frac{\alpha}{2} \lVert W \rVert^2

    where :math:`m_k = r(x_{k1}) - r(x_{k2})` is the margin of pair k, of items
    :math:`x_{k1}` and :math:`x_{k2}`, :math:`y_k` is 1 when the first is preferred, F
    is the logistic function (Bradley-Terry) or the normal distribution function
    (Thurstone), and W are the weights of all layers for items as they are given,
    without intercepts. The last layer has no intercept: only
    differences of rewards are identified, and `predict` centres them on the training
    items.

    The network is trained by Adam on mini-batches of pairs, each of whose items is
    passed through it once, and stops early on pairs that share no prompt with the
    training pairs.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(1024, 512)
        Width of each hidden layer; the default is the network of [1]_. ``()`` is the
        linear reward by Adam. On frozen sentence embeddings `BradleyTerryRegressor` is
        usually as good, and much faster.

    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
        Of the hidden layers.

    link : {"logistic", "probit"}, default="logistic"
        F: Bradley-Terry or Thurstone. They order alike; the unit of the reward is
        log-odds for the logistic link, standard deviations for the probit.

    ties : {"half", "davidson", "rao-kupper"}, default="half"
        What a label of 1/2 is. "half" counts it as half a preference each way, which
        draws margins together: only the order is right where there are many. The others
        are models of three outcomes, with ``tie_parameter_`` fitted beside the
        reward; they give margins of the right size and P(tie), and order as "half"
        does. "davidson" says that ties are likely where rewards are near each other in
        proportion, "rao-kupper" that a lead below a threshold is not seen; without
        ties both are Bradley-Terry. They need pairs, ``link="logistic"``, and labels of
        1, 0 and 1/2 alone.

    alpha : float, default=5e-4
        Strength of the penalty on the *mean* loss, so it need not change with the
        number of pairs. It means what it means in `BradleyTerryRegressor`: it acts on
        the weights for items as they are given. Features of variance v feel it as much
        as features of unit variance feel ``alpha / v``, and those of a sentence
        embedding have a variance around 1 / n_features. On such embeddings 5e-4 and
        1e-3 order unseen prompts a little better than 1e-6 (0.691 and 0.692 instead
        of 0.690), with a lower log-loss on the prompts held out (0.611 and 0.613
        instead of 0.617), for two epochs more.

    batch_size : int or "auto", default="auto"
        Pairs a step. "auto" is a sixteenth of the training pairs, at least 128 and at
        most 2048.

    learning_rate_init : float, default=1e-3
        Step size of Adam.

    max_iter : int, default=200
        Epochs at most.

    tol : float, default=1e-4
        Training stops when the loss has improved by less than this for
        ``n_iter_no_change`` epochs.

    early_stopping : bool, default=True
        Hold out ``validation_fraction`` of the pairs, stop when the loss on them no
        longer improves, and restore the best weights. Prompts are kept apart where
        `EmbeddingPairs` knows them, else connected components of shared items, or
        single items where one component holds nearly all pairs. False trains on all
        pairs until the training loss no longer improves, and keeps the last weights.

    validation_fraction : float, default=0.1
        Share held out by ``early_stopping``, without which it does nothing. Costs
        training pairs, and when prompts are compared with each other also the pairs
        between the two parts.

    n_iter_no_change : int, default=3
        Patience in epochs: of the loss on held out pairs with ``early_stopping``, of
        the training loss without.

    dropout : float, default=0.0
        Probability of dropping a hidden unit in a training step. On noisy
        preferences 0.5 with ``learning_rate_init=3e-4`` can be worth its epochs.

    precision : {"auto", "full", "bfloat16"}, default="auto"
        Of the products in training: "full" is X's own (float32 for float16);
        "bfloat16" products are two to three times as fast where the device has units
        for them, and the network orders as well. "auto" takes them there, except for
        float64. Weights, losses and steps are X's own in any case, and so are
        predictions.

    max_pairs : int or None, default=100_000
        When X is items with ratings, learn from at most this many of their ordered
        pairs, sampled with ``random_state``. None takes all, n (n - 1) / 2.

    device : str, default="auto"
        "cpu", "cuda" or "cuda:N". "auto" is CUDA where there is one.

    random_state : int, RandomState instance or None, default=None
        Fixes the weights at the start, the validation split, the batches, and the
        pairs sampled from ratings.

    warm_start : bool, default=False
        Start `fit` from the weights of the previous one.

    verbose : int, default=0
        Above 0, print the loss of every epoch.

    Attributes
    ----------
    coefs_ : list of arrays of shape (n_in, n_out)
        Weights of every layer; the first acts on the items as they are.

    intercepts_ : list of arrays of shape (n_out,)
        Intercepts of the hidden layers.

    tie_parameter_ : float
        nu of "davidson", P(tie) = nu / (1 + nu) between equals, or theta of
        "rao-kupper", P(tie) = (theta - 1) / (theta + 1) between equals. Only where
        ``ties`` is not "half"; 0 and 1 where no pair was a tie.

    theta_ : array of float64, shape (1,)
        The same without a bound: log nu, or log log theta. Only where ``ties`` is not
        "half".

    offset_ : float
        Mean reward of the training items before centring: r(x) is the last layer's
        output minus this.

    loss_ : float
        The objective in the last epoch.

    loss_curve_ : list of float
        The objective in every epoch: the mean loss of the training pairs, each as its
        batch was passed, and the penalty at the epoch's end.

    validation_loss_curve_ : list of float
        Loss on the pairs held out, without the penalty, after every epoch; empty where
        none are.

    best_iter_ : int
        Epoch whose weights were kept.

    n_iter_ : int
        Epochs run.

    input_shift_, input_scale_ : arrays of shape (n_features,)
        By which training centred and scaled the items. A scale of 0 is that of a
        feature that holds rounding alone and has no weight.

    optimizer_state_ : dict
        Where the next `partial_fit` goes on. Only after `partial_fit`.

    device_ : str
        Where the network was trained; where it is still there, it predicts there.

    sample_ : array of shape (n_kept, n_features)
        At most 16 of the training items, on which an export compares itself with the
        model.

    n_features_in_ : int
        Width of the embeddings.

    feature_names_in_ : array of shape (n_features,)
        Only where X was a data frame of items.

    See Also
    --------
    BradleyTerryRegressor : The same likelihood, for a linear reward.
    PairwiseClassifierReward : A reward from any binary classifier.
    skreward.model_selection.PromptDisjointKFold : Cross-validation without leaks.

    Notes
    -----
    float64 trains in float64 and float32 in float32; float16 is storage and computes
    in float32. Fitted attributes are numpy: a model fitted on CUDA loads and
    predicts without.

    A feature whose standard deviation is at most
    :math:`8 \varepsilon \max(|x_j|, M)` is rounding, and its weights are exactly 0:
    see `BradleyTerryRegressor`, where M is that of the deviations here.

    References
    ----------
    .. [1] "Rethinking Bradley-Terry Models in Preference-Based Reward Modeling:
       Foundations, Theory, and Alternatives" (ICLR 2025).

    Examples
    --------
    >>> from skreward import BradleyTerryMLPRegressor
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> model = BradleyTerryMLPRegressor((32,), random_state=0)
    >>> model = model.fit(data.pairs, data.y)
    >>> model.predict_preference_proba(data.pairs).shape
    (2000,)
    >>> bool(model.score(data.pairs, data.y) > 0.75)
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        **CONSTRAINTS,
        "link": [StrOptions(set(OBJECTIVES))],
        "ties": [StrOptions({"half", *TIES})],
        "max_pairs": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (1024, 512),
        activation: Literal["relu", "tanh", "logistic", "identity"] = "relu",
        *,
        link: Link = "logistic",
        ties: TiesLaw = "half",
        alpha: float = 5e-4,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        tol: float = 1e-4,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        dropout: float = 0.0,
        precision: Literal["auto", "full", "bfloat16"] = "auto",
        max_pairs: int | None = 100_000,
        device: str = "auto",
        random_state: RandomState = None,
        warm_start: bool = False,
        verbose: int | bool = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.link = link
        self.ties = ties
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.precision = precision
        self.max_pairs = max_pairs
        self.device = device
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: PairsOrItems,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        prompt_ids: ArrayLike | None = None,
    ) -> "BradleyTerryMLPRegressor":
        """Learn a reward from preferences.

        Parameters
        ----------
        X : EmbeddingPairs, or array-like of shape (n_pairs, 2, n_features), or \
                {array-like, sparse matrix} of shape (n_items, n_features)
            Pairs; or items, learned from a rating each.

        y : array-like of shape (n_pairs,) or (n_items,), default=None
            For pairs: 1 = first preferred, 0 = second; or +1 / -1; or P(first
            preferred) in [0, 1], 0.5 being a tie; None = the first is always the
            chosen one. For items: ratings, of which only the order counts.

        sample_weight : array-like of shape (n_pairs,) or (n_items,), default=None
            Weights; integers count as repetitions.

        prompt_ids : array-like of shape (n_items,), default=None
            The prompt that each rated item answers: ratings are compared within
            their prompt alone, and prompts stay whole in internal splits. None
            compares any two items, and warns: a rating of one prompt rarely means
            what it means for another. Pairs carry theirs (`EmbeddingPairs`).

        Returns
        -------
        self : BradleyTerryMLPRegressor
            Fitted.

        Raises
        ------
        ValueError
            If X, y, sample_weight or a parameter is not as above; if the network
            diverges.
        MemoryError
            If the device is too small.

        Warns
        -----
        UserWarning
            If items are rated and ``prompt_ids`` is None.
        ConvergenceWarning
            If ``max_iter`` came before ``tol``.
        """
        self._check_network()
        rng = check_random_state(self.random_state)
        goes_on = self.warm_start and hasattr(self, "coefs_")
        comparisons = self._check_data(
            X, y, sample_weight, rng, prompt_ids=prompt_ids, reset=not goes_on
        )
        job = self._job(
            comparisons, rng, goes_on=goes_on, holds_out=self.early_stopping
        )
        (network,) = self._train([job])
        self._set(network, job)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: PairsOrItems,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        prompt_ids: ArrayLike | None = None,
    ) -> "BradleyTerryMLPRegressor":
        """Take one epoch over more pairs, from where the last one ended.

        Every pair given is trained on; nothing is held out. The scaling of the
        items is that of the first call.

        Parameters
        ----------
        X : EmbeddingPairs or array-like
            As in `fit`.
        y : array-like, default=None
            As in `fit`.
        sample_weight : array-like, default=None
            As in `fit`.
        prompt_ids : array-like of shape (n_items,), default=None
            As in `fit`.

        Returns
        -------
        self : BradleyTerryMLPRegressor
            Updated.

        Raises
        ------
        ValueError
            As `fit`.
        """
        self._check_network()
        rng = check_random_state(self.random_state)
        goes_on = hasattr(self, "coefs_")
        comparisons = self._check_data(
            X, y, sample_weight, rng, prompt_ids=prompt_ids, reset=not goes_on
        )
        self._check_first_ties(comparisons)
        job = self._job(comparisons, rng, goes_on=goes_on, holds_out=False)
        (network,) = self._train([job], max_iter=1)
        self._set(network, job, settles=False)
        self.optimizer_state_ = {"n_steps": network.n_steps, "moments": network.moments}
        return self

    def _objective(self, comparisons, goes_on=False):
        return LikelihoodReward._objective(self, comparisons, goes_on)

    def _resume(self, network):
        super()._resume(network)
        if len(network.theta) and self._knows_theta():
            network.theta = self.theta_.astype(network.theta.dtype)

    def _check_first_ties(self, comparisons):
        has_any = (comparisons.target == 0.5).any()
        if not (self.ties == "half" or self._knows_theta() or has_any):
            raise ValueError(
                f"ties={self.ties!r} needs a tie, labelled 1/2, among the first pairs "
                "that partial_fit is given."
            )

    def _fit_many(self, models, X, y, weights, prompt_ids=None):
        """Fit models like this one, all at once; see `fit_together`.

        ``X``, ``y`` and ``weights`` hold one each for every model. Gives the models'
        rewards of the items.
        """
        self._validate_params()
        self._check_network()
        jobs = []
        for model, *data in zip(models, X, y, weights, strict=True):
            rng = check_random_state(model.random_state)
            comparisons = model._check_data(
                *data, rng, prompt_ids=prompt_ids, reset=True, keeps_items=True
            )
            jobs.append(
                model._job(
                    comparisons, rng, goes_on=False, holds_out=model.early_stopping
                )
            )
        networks = self._train(jobs, stacklevel=6)
        return [
            model._set(network, job)
            for model, job, network in zip(models, jobs, networks, strict=True)
        ]

    def _set(self, network, job, settles=True):
        """Set the fitted attributes; gives the rewards of the items.

        The network may have been done before the objective's own parameters were:
        where it ``settles`` they end at their best for its margins.
        """
        self._set_network(network)
        reward = self._forward(job.comparisons.items)
        theta = network.theta
        if settles and len(theta):
            first, second = job.comparisons.index[job.kept].T
            margin = reward[first] - reward[second]
            theta = best_theta(job.objective, margin, job.seen(), theta)
        self._set_theta(theta)
        self._centre(job.comparisons, reward)
        return reward - reward.dtype.type(self.offset_)

    def _reward(self, items):
        return self._forward(items) - compute_dtype(items).type(self.offset_)
