"""How much memory a model file takes, read from its headers before its contents."""

import io
import math
import zipfile
from hashlib import blake2b
from typing import IO, Any

import numpy as np
import scipy.sparse as sp

from skreward.persistence.refusal import NotAModel, Refused

# Python objects that a byte of the schema becomes, in bytes; measured.
SCHEMA_FACTOR = 40
# A bytearray is built from a list of integers.
BYTEARRAY_FACTOR = 10
BLOCK_BYTES = 1 << 20
SPARSE_PARTS = {"data.npy", "indices.npy", "indptr.npy", "shape.npy", "format.npy"}
SPARSE_FLAGS = {"_is_array.npy"}


class Budget:
    """Bytes that may still be taken."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.taken = 0

    def take(self, n_bytes: int) -> None:
        """Count bytes; raises where they are more than allowed."""
        self.taken += n_bytes
        if self.taken > self.max_bytes:
            raise Refused(
                f"takes more than max_bytes={self.max_bytes:,} bytes of memory: at "
                f"least {self.taken:,}. Nothing was loaded. If you know where the file "
                "comes from, raise max_bytes."
            )


class Members:
    """The members of a zip file, counted before they are read."""

    def __init__(self, archive: zipfile.ZipFile, budget: Budget):
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise NotAModel("two members of the file have one name")
        self.archive = archive
        self.budget = budget
        self.digests: dict[Any, bytes] = {}

    def read(self, name: str, factor: int = 1) -> bytes:
        """Read a member; each time it is read it is counted."""
        self.count(name, factor)
        return self.archive.read(name)

    def count(self, name: str, factor: int = 1) -> int:
        """Count the bytes of a member, and give their number."""
        size = self.archive.getinfo(name).file_size
        self.budget.take(factor * size)
        return size

    def count_array(self, name: str) -> None:
        """Count an array as its header says, and see that this is what it holds."""
        size = self.count(name)
        with self.archive.open(name) as member:
            check_array_header(member, size)

    def array(self, name: str) -> np.ndarray:
        """Read an array that was counted."""
        return np.load(io.BytesIO(self.archive.read(name)), allow_pickle=False)

    def digest(self, name: Any) -> bytes:
        """Give the same for members that hold the same; else, of a name alone."""
        if name not in self.digests:
            found = blake2b(digest_size=16)
            if name in self.archive.NameToInfo:
                with self.archive.open(name) as member:
                    while block := member.read(BLOCK_BYTES):
                        found.update(block)
            else:
                found.update(repr(name).encode("utf-8", "surrogatepass"))
            self.digests[name] = found.digest()
        return self.digests[name]

    def check_sparse(self, name: str) -> None:
        """Count a sparse matrix, and see that its indices lie within it."""
        with zipfile.ZipFile(io.BytesIO(self.read(name))) as archive:
            parts = Members(archive, self.budget)
            found = set(archive.namelist())
            if not SPARSE_PARTS <= found <= SPARSE_PARTS | SPARSE_FLAGS:
                raise NotAModel("a sparse matrix is not of rows or of columns")
            for part in found:
                parts.count_array(part)
        matrix = sp.load_npz(io.BytesIO(self.archive.read(name)))
        if matrix.format not in ("csr", "csc"):
            raise NotAModel("a sparse matrix is not of rows or of columns")
        matrix.check_format(full_check=True)


def check_array_header(member: IO[bytes], size: int) -> None:
    """Raise where an array's header promises another size than the array has."""
    major, _ = np.lib.format.read_magic(member)
    if major == 1:
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    promised = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or dtype.itemsize == 0 or any(n < 0 for n in shape):
        raise NotAModel(f"an array has dtype {dtype} and shape {shape}")
    if promised != size - member.tell():
        raise NotAModel(
            f"an array promises {promised:,} bytes and holds {size - member.tell():,}"
        )
