"""Products with the items, on a device."""

from skreward.utils.arrays import compute_dtype
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

    def _send(self, vector):
        return torch.from_numpy(vector).to(self._items)

    def rewards(self, coef):
        """Items @ coef, shape (n_items,)."""
        return (self._items @ self._send(coef)).cpu().numpy()

    def gradient(self, item_gradient):
        """Items.T @ item_gradient, shape (n_features,)."""
        return (self._items.T @ self._send(item_gradient)).cpu().numpy()

    def differences(self, index):
        """items[index[:, 0]] - items[index[:, 1]], on the host."""
        index = torch.from_numpy(index).to(self._items.device)
        difference = self._items[index[:, 0]] - self._items[index[:, 1]]
        return difference.cpu().numpy()

    def is_constant(self, features):
        """Whether each of some features is the same in every item."""
        columns = self._items[:, torch.from_numpy(features).to(self._items.device)]
        return (columns == columns[0]).all(dim=0).cpu().numpy()
