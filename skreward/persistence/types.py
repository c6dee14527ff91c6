"""What a model file may hold: names of types, by the node that builds them.

A node is how skops writes one object. The names are compared as strings: finding out
whether a file may be loaded imports nothing that the file names.
"""

import sys
from functools import cache
from inspect import isfunction

import numpy as np

from skreward.utils.compat import without_array_libraries

SCALARS = (
    "bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 "
    "float64 longdouble str_ bytes_ datetime64 timedelta64"
)
BIT_GENERATORS = frozenset("MT19937 PCG64 PCG64DXSM Philox SFC64".split())
# What scikit-learn's public estimators are made of, by module.
PARTS = {
    "scipy.interpolate._bsplines": "BSpline _BSpline",  # the latter from SciPy 1.18
    "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink "
    "MultinomialLogit",
    "sklearn._loss.loss": "AbsoluteError ExponentialLoss HalfBinomialLoss "
    "HalfGammaLoss HalfMultinomialLoss HalfPoissonLoss HalfSquaredError "
    "HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss",
    "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration "
    "_TemperatureScaling",
    "sklearn.cluster._bisect_k_means": "_BisectingTree",
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels": "CompoundKernel ConstantKernel DotProduct "
    "ExpSineSquared Exponentiation Matern PairwiseKernel Product RBF "
    "RationalQuadratic Sum WhiteKernel",
    "sklearn.metrics._dist_metrics": "ChebyshevDistance64 EuclideanDistance64 "
    "ManhattanDistance64",
    "sklearn.metrics._scorer": "_CurveScorer _PassthroughScorer _Scorer",
    "sklearn.model_selection._split": "GroupKFold GroupShuffleSplit KFold LeaveOneOut "
    "LeavePOut LeaveOneGroupOut LeavePGroupsOut PredefinedSplit RepeatedKFold "
    "RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold StratifiedKFold "
    "StratifiedShuffleSplit TimeSeriesSplit",
    "sklearn.multiclass": "_ConstantPredictor",
    "sklearn.neighbors._ball_tree": "BallTree",
    "sklearn.neighbors._kd_tree": "KDTree",
    "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    # This package's own, beside its estimators.
    "skreward.metrics.scorers": "PreferenceScorer",
    "skreward.model_selection": "PromptDisjointKFold",
}
LOSSES = {
    "sklearn._loss._loss": "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss "
    "CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError "
    "CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss",
    "sklearn.linear_model._sgd_fast": "EpsilonInsensitive Hinge ModifiedHuber "
    "SquaredEpsilonInsensitive SquaredHinge",
}


def _names(by_module):
    return frozenset(
        f"{module}.{name}" for module, names in by_module.items()
        for name in names.split()
    )  # fmt: skip


_PARTS = _names(PARTS)
NUMPY_SCALARS = _names({"numpy": SCALARS})
NEIGHBOURS = frozenset(
    {"sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._kd_tree.KDTree"}
)
TREE = "sklearn.tree._tree.Tree"
TREE_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
FUNCTIONS = frozenset(
    {
        "numpy.mean",
        "numpy.median",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
    }
)
# By skops's name of the node. Nodes that call what they name (a partial, a method, a
# constructor with the arguments of ``__reduce__``) are not here.
FIXED = {
    "JsonNode": frozenset({"builtins.str"}),
    "DictNode": frozenset(
        {"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}
    ),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "ListNode": frozenset({"builtins.list"}),
    "SetNode": frozenset({"builtins.set"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "BytearrayNode": frozenset({"builtins.bytearray"}),
    "TypeNode": _names({"builtins": "bool float int str"}) | NUMPY_SCALARS,
    "NdArrayNode": frozenset({"numpy.ndarray"}) | NUMPY_SCALARS,
    "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"}),
    "DTypeNode": frozenset({"numpy.dtype"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "SparseMatrixNode": _names(
        {
            "scipy.sparse._csr": "csr_array csr_matrix",
            "scipy.sparse._csc": "csc_array csc_matrix",
        }
    ),
    "TreeNode": frozenset({TREE}),
    "LossNode": _names(LOSSES),
}
# Nodes of types that only a caller can trust, by name.
FOREIGN = frozenset(
    {"ConstructorFromReduceNode", "MethodNode", "OperatorFuncNode", "PartialNode"}
)
NODES = frozenset({*FIXED, "ObjectNode", "FunctionNode"}) | FOREIGN


def is_known(loader: str, name: str) -> bool:
    """Whether a node of this kind may name this, whoever wrote the file."""
    if loader == "ObjectNode":
        return name in _PARTS or name in estimator_names()
    if loader == "FunctionNode":
        return name in function_names()
    return name in FIXED.get(loader, ())


@cache
def estimator_names() -> frozenset[str]:
    """Name the public estimators of this package and of scikit-learn."""
    from sklearn.base import BaseEstimator
    from sklearn.utils import all_estimators

    package = sys.modules[__name__.partition(".")[0]]
    # Public names are found when they are asked for; classes begin with a capital.
    public = [getattr(package, name) for name in package.__all__ if name[0].isupper()]
    ours = [found for found in public if issubclass(found, BaseEstimator)]
    with without_array_libraries():
        theirs = [found for _, found in all_estimators()]
    return _full_names([*ours, *theirs])


@cache
def function_names() -> frozenset[str]:
    """Name the functions that a model may hold: ufuncs, metrics and scores."""
    import scipy.special
    import sklearn.feature_selection
    import sklearn.metrics

    ufuncs = frozenset(
        f"{module}.{name}"
        for module, library in (
            ("numpy", np),
            ("numpy._core._multiarray_umath", np),
            ("scipy.special._ufuncs", scipy.special),
            ("scipy.special", scipy.special),
        )
        for name, value in vars(library).items()
        if isinstance(value, np.ufunc)
    )
    functions = [
        vars(library).get(name)
        for library in (sklearn.metrics, sklearn.feature_selection)
        for name in library.__all__
    ]
    return ufuncs | FUNCTIONS | _full_names(filter(isfunction, functions))


def _full_names(objects) -> frozenset[str]:
    return frozenset(f"{found.__module__}.{found.__name__}" for found in objects)
