"""A network that tells winners from losers, for `PairwiseClassifierReward`."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from skreward.data.comparisons import Comparisons
from skreward.data.gate import check_items, check_weight
from skreward.models.network import CONSTRAINTS, NetworkMixin
from skreward.utils.checks import check_prompts
from skreward.utils.compat import fit_context
from skreward.utils.page import PageMixin
from skreward.utils.typing import ArrayLike, Items, RandomState

__all__ = ["RewardMLPClassifier"]


class RewardMLPClassifier(NetworkMixin, PageMixin, ClassifierMixin, BaseEstimator):
    r"""Binary classifier of items by a network, stopped early on groups held out.

    .. math:: \min_f \; \frac{1}{\sum_i w_i} \sum_i w_i \left[
              -y_i \log \sigma(f(x_i)) - (1 - y_i) \log \sigma(-f(x_i)) \right]
              + \frac{\alpha}{2} \lVert W \rVert^2

    where :math:`y_i` is 1 for the second of ``classes_`` and 0 for the first,
    :math:`\sigma` is the logistic function, and W are the weights of all layers for
    items as they are given, without intercepts. It is the paper's classifier network
    [1]_, trained as `BradleyTerryMLPRegressor` is: scikit-learn's ``MLPClassifier``
    holds out rows whatever prompt they are of, and trains one network at a time.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(1024, 512)
        Width of each hidden layer; the default is the network of [1]_. ``()`` is
        logistic regression by Adam.

    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
        Of the hidden layers.

    alpha : float, default=1e-6
        Strength of the penalty on the *mean* loss; it acts as that of
        `BradleyTerryMLPRegressor`. On sentence embeddings larger values ordered worse:
        0.678 with 1e-4 and 0.672 with 1e-3, instead of 0.688, in batches of "auto".

    batch_size : int or "auto", default=200
        Rows a step. "auto" is a sixteenth of the training rows, at least 128 and at
        most 2048, which takes less time and orders worse where there are many rows: on
        19,000 rows of sentence embeddings 0.688 instead of 0.694, in four fifths of
        the time.

    learning_rate_init : float, default=1e-3
        Step size of Adam.

    max_iter : int, default=200
        Epochs at most.

    tol : float, default=1e-4
        Training stops when the loss has improved by less than this for
        ``n_iter_no_change`` epochs.

    early_stopping : bool, default=True
        Hold out ``validation_fraction`` of the rows, stop when the log-loss on them no
        longer improves, and restore the best weights. The ``groups`` given to `fit`,
        such as prompts, are kept apart; without them single rows are drawn. False
        trains on all rows until the training loss no longer improves, and keeps the
        last weights.

    validation_fraction : float, default=0.1
        Share held out by ``early_stopping``, without which it does nothing.

    n_iter_no_change : int, default=3
        Patience in epochs: of the loss on held out rows with ``early_stopping``, of
        the training loss without.

    dropout : float, default=0.0
        Probability of dropping a hidden unit in a training step.

    precision : {"auto", "full", "bfloat16"}, default="auto"
        Of the products in training, as in `BradleyTerryMLPRegressor`.

    device : str, default="auto"
        "cpu", "cuda" or "cuda:N". "auto" is CUDA where there is one.

    random_state : int, RandomState instance or None, default=None
        Fixes the weights at the start, the validation split, and the batches.

    warm_start : bool, default=False
        Start `fit` from the weights of the previous one.

    verbose : int, default=0
        Above 0, print the loss of every epoch.

    Attributes
    ----------
    classes_ : array of shape (2,)
        The labels. `decision_function` is the log-odds of the second.

    coefs_ : list of arrays of shape (n_in, n_out)
        Weights of every layer; the first acts on the items as they are.

    intercepts_ : list of arrays of shape (n_out,)
        Intercepts of every layer.

    loss_ : float
        The objective in the last epoch.

    loss_curve_ : list of float
        The objective in every epoch: the mean loss of the training rows, each as its
        batch was passed, and the penalty at the epoch's end.

    validation_loss_curve_ : list of float
        Log-loss on the rows held out, after every epoch; empty where none are.

    best_iter_ : int
        Epoch whose weights were kept.

    n_iter_ : int
        Epochs run.

    input_shift_, input_scale_ : arrays of shape (n_features,)
        By which training centred and scaled the items. A scale of 0 is that of a
        feature that holds rounding alone and has no weight.

    device_ : str
        Where the network was trained; where it is still there, it predicts there.

    n_features_in_ : int
        Width of the embeddings.

    feature_names_in_ : array of shape (n_features,)
        Only where X was a data frame.

    See Also
    --------
    PairwiseClassifierReward : Makes a reward of it, and gives it the prompts.
    BradleyTerryMLPRegressor : The network from the likelihood of preferences.

    References
    ----------
    .. [1] "Rethinking Bradley-Terry Models in Preference-Based Reward Modeling:
       Foundations, Theory, and Alternatives" (ICLR 2025).

    Examples
    --------
    >>> from skreward import PairwiseClassifierReward, RewardMLPClassifier
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=2000, random_state=0)
    >>> classifier = RewardMLPClassifier((32,), learning_rate_init=3e-3, random_state=0)
    >>> model = PairwiseClassifierReward(classifier).fit(data.pairs, data.y)
    >>> bool(model.score(data.pairs, data.y) > 0.75)
    True
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (1024, 512),
        activation: Literal["relu", "tanh", "logistic", "identity"] = "relu",
        *,
        alpha: float = 1e-6,
        batch_size: int | Literal["auto"] = 200,
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        tol: float = 1e-4,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        dropout: float = 0.0,
        precision: Literal["auto", "full", "bfloat16"] = "auto",
        device: str = "auto",
        random_state: RandomState = None,
        warm_start: bool = False,
        verbose: int | bool = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
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
        self.device = device
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Items,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn to tell the two classes apart.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_items, n_features)
            Items.

        y : array-like of shape (n_items,)
            Labels of two classes.

        sample_weight : array-like of shape (n_items,), default=None
            Weights.

        groups : array-like of shape (n_items,), default=None
            Prompts of the items, or what else ``early_stopping`` must keep apart.

        Returns
        -------
        self : RewardMLPClassifier
            Fitted.

        Raises
        ------
        ValueError
            If X, y, sample_weight, groups or a parameter is not as above; if the
            network diverges.
        MemoryError
            If the device is too small.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` came before ``tol``.
        """
        self._check_network()
        rng = check_random_state(self.random_state)
        goes_on = self.warm_start and hasattr(self, "coefs_")
        wins, classes = self._check_wins(X, y, sample_weight, groups, not goes_on)
        job = self._job(wins, rng, goes_on=goes_on, holds_out=self.early_stopping)
        (network,) = self._train([job])
        self._set_network(network)
        self.classes_ = classes
        return self

    def _fit_wins(self, models, wins):
        """Fit classifiers like this one on shares of wins of the same items, at once.

        ``wins`` holds the `Comparisons` of single items, one for each of ``models``,
        which may differ in ``random_state``.
        """
        self._validate_params()
        self._check_network()
        jobs = [
            model._job(
                seen,
                check_random_state(model.random_state),
                goes_on=False,
                holds_out=model.early_stopping,
            )
            for model, seen in zip(models, wins, strict=True)
        ]
        networks = self._train(jobs, stacklevel=7)
        for model, seen, network in zip(models, wins, networks, strict=True):
            model._set_network(network)
            model.classes_ = np.array([0, 1])
            model.n_features_in_ = seen.items.shape[1]

    def decision_function(self, X: Items) -> np.ndarray:
        """Log-odds of the second class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_items, n_features)
            Items.

        Returns
        -------
        logit : array of shape (n_items,)
            Above 0 where the second class is predicted.
        """
        check_is_fitted(self)
        return self._forward(check_items(self, X, reset=False))

    def predict_proba(self, X: Items) -> np.ndarray:
        """Probabilities of both classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_items, n_features)
            Items.

        Returns
        -------
        proba : array of shape (n_items, 2)
            In the order of ``classes_``.
        """
        logit = self.decision_function(X)
        return np.column_stack([expit(-logit), expit(logit)])

    def predict(self, X: Items) -> np.ndarray:
        """The likelier class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_items, n_features)
            Items.

        Returns
        -------
        label : array of shape (n_items,)
            Of ``classes_``.
        """
        is_second = self.decision_function(X) > 0
        return self.classes_[is_second.astype(int)]

    def _check_wins(self, X, y, sample_weight, groups, reset):
        """Give what was seen of single items, and the classes."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        items = check_items(self, X, reset=reset)
        y = column_or_1d(y, warn=True)
        check_consistent_length(items, y)
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind != "binary":
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{kind}."
            )
        if groups is not None:
            groups = check_prompts(groups, items.shape[0], name="groups")[1]
        weight = check_weight(sample_weight, items.shape[0], "item")
        seen = np.flatnonzero(weight)
        classes, won = np.unique(y[seen], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                "y needs 2 classes among the items of positive weight, got 1 class: "
                f"{classes.tolist()[0]!r}."
            )
        wins = Comparisons(
            items, seen[:, np.newaxis], won.astype(float), weight[seen], weight, groups
        )
        return wins, classes

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = True
        return tags
