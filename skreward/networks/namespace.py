"""What objectives take from NumPy and SciPy, in torch."""

from types import SimpleNamespace

from skreward.utils.optional import wanted_by

with wanted_by("A reward network", "torch"):
    import torch

TORCH = SimpleNamespace(
    abs=torch.abs,
    exp=torch.exp,
    expm1=torch.expm1,
    log=torch.log,
    log1p=torch.log1p,
    where=torch.where,
    relu=torch.relu,
    expit=torch.special.expit,
    log_ndtr=torch.special.log_ndtr,
    erfcx=torch.special.erfcx,
)
