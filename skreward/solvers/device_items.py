"""Products with the items, on a device."""

from skreward.solvers.items import extent, largest
from skreward.utils.arrays import compute_dtype, lifted, times_power
from skreward.utils.device import copied, explained_memory_errors, torch_dtype
from skreward.utils.optional import wanted_by

with wanted_by("A CUDA device", "torch"):
    import torch


class DeviceItemMatrix:
    """What `skreward.solvers.items.ItemMatrix` offers, with the items on a device."""

    def __init__(self, items, device):
        self.dtype = compute_dtype(items)
        self.shape = items.shape
        n_bytes = items.shape[0] * items.shape[1] * self.dtype.itemsize
        with explained_memory_errors(device, n_bytes):
            self._items = copied(items, device).to(torch_dtype(self.dtype))

    def rewards(self, coef):
        """Items @ coef, shape (n_items,) or (n_items, k), in float64."""
        return self._times(self._items, coef)

    def gradient(self, item_gradient):
        """Items.T @ item_gradient, (n_features,) or (n_features, k), in float64."""
        return self._times(self._items.T, item_gradient)

    def _times(self, matrix, vector):
        vector, exponent = lifted(vector)
        product = matrix @ torch.from_numpy(vector).to(self._items)
        return times_power(product.cpu().numpy(), exponent)

    def differences(self, index):
        """items[index[:, 0]] - items[index[:, 1]], on the host."""
        index = torch.from_numpy(index).to(self._items.device)
        difference = self._items[index[:, 0]] - self._items[index[:, 1]]
        return difference.cpu().numpy()

    def sizes(self, rows):
        """Largest size of every feature in some rows, in float64."""
        rows = torch.from_numpy(rows).to(self._items.device)
        return largest(self._items[rows].cpu().numpy())

    def extent(self, features, index):
        """How far some features differ within a pair, and their sizes, at most."""

        def columns(block):
            block = torch.from_numpy(block).to(self._items.device)
            return self._items[:, block].cpu().numpy()

        return extent(columns, features, index)
