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
    concatenate=lambda parts: torch.cat(parts, dim=-1),
    like=lambda constant, values: torch.as_tensor(constant).to(values),
    take=lambda values, k: values.gather(-1, k),
    sums=lambda values, k, n_groups: values.new_zeros(
        (*values.shape[:-1], n_groups)
    ).scatter_add(-1, k, values),
)
