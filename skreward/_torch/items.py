"""Items on a device: gathered for training, multiplied for the linear solver."""

import numpy as np
import scipy.sparse as sp
import torch

from skreward._torch.device import explained_memory_errors
from skreward._validation import compute_dtype, rows_as


def upload(items, dtype, device):
    """Give items to gather from: on the device where it is not the CPU's memory."""
    on_device = device.type != "cpu" and not sp.issparse(items)
    return (DeviceItems if on_device else HostItems)(items, dtype, device)


class HostItems:
    """Rows gathered on the host, then sent to the device."""

    index_device = torch.device("cpu")

    def __init__(self, items, dtype, device):
        self._items, self._dtype, self._device = items, _torch_dtype(dtype), device
        self._rows = None
        # torch gathers with all threads, but takes no memory that is read-only or
        # runs backwards.
        is_shared = isinstance(items, np.ndarray) and items.flags.carray
        self._shared = torch.from_numpy(items) if is_shared else None

    def gather(self, rows):
        """Give rows as a dense tensor on the device, good until the next call."""
        if self._shared is None:
            here = self._items[rows.numpy()]
            batch = torch.from_numpy(rows_as(here, here.dtype))
        else:
            # Memory is asked of the system once, not once a batch.
            if self._rows is None or len(rows) > len(self._rows):
                self._rows = self._shared.new_empty(len(rows), self._shared.shape[1])
            batch = self._rows[: len(rows)]
            torch.index_select(self._shared, 0, rows, out=batch)
        return batch.to(self._device).to(self._dtype)


class DeviceItems:
    """All items uploaded once, rows gathered on the device."""

    def __init__(self, items, dtype, device):
        self._items = _copied(items, device)
        self._dtype = _torch_dtype(dtype)
        self.index_device = device

    def gather(self, rows):
        """Give rows as a dense tensor on the device."""
        return self._items.index_select(0, rows).to(self._dtype)


class DeviceItemMatrix:
    """What `skreward._linear.ItemMatrix` offers, with the items on a device."""

    def __init__(self, items, device):
        self.dtype = compute_dtype(items)
        self.shape = items.shape
        n_bytes = items.shape[0] * items.shape[1] * self.dtype.itemsize
        with explained_memory_errors(device, n_bytes):
            self._items = _copied(items, device).to(_torch_dtype(self.dtype))

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


def _copied(items, device):
    """Copy items to a device; torch takes none that run backwards."""
    return torch.tensor(np.ascontiguousarray(items), device=device)


def _torch_dtype(dtype):
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype
