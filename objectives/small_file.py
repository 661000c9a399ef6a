"""Weights as a file of few bytes: magnitude pruning, int8 quantization, and a coding that loses nothing more.

    pruned      the share s of all kernel weights that is smallest in size is 0; what was exactly 0 already counts among them
    quantized   per tensor q = round(w/Δ), Δ = max|w|/127: |w − qΔ| ≤ Δ/2, and 0 stays 0
    encoded     a file that describes itself; `decoded` reads back every value that was written (−0 as 0)

A tensor is written whole, or as a bitmap of what is not 0 together with the values that are not 0. The shorter form is taken. Either form
is a stream of bytes. A stream is stored or compressed, whichever is shorter: by Huffman codes alone, by deflate, and bitmaps by LZMA too.
(The values of a trained layer hardly repeat, so a search for repetitions makes them longer. On 1.5 million Gaussian weights in int8, 90 %
of them pruned, Huffman codes take 3 % less than LZMA in a thirtieth of the time. A bitmap repeats where whole rows or columns are 0.)

Source: magnitude pruning Han et al. 2015 (without fine-tuning: weights are taken as they were trained); symmetric quantization after
training, Krishnamoorthi 2018, arXiv 1806.08342, section 3.1.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAGIC = b"LGP1"
LEVELS = 127  # int8 without −128, so that the code is symmetric
STORED, DEFLATED, LZMA = range(3)
FLOAT, INT8, SPARSE = 0, 1, 2  # a tensor's kind: FLOAT or INT8, plus SPARSE where it has a bitmap
_FILTERS = [{"id": lzma.FILTER_LZMA1, "preset": 6, "lc": 0, "lp": 0, "pb": 0}]

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Quantized:
    """A tensor in whole numbers: `codes` (int8) times `scale`."""

    codes: Tensor
    scale: float

    def restored(self) -> Tensor:
        """The float32 tensor that the codes stand for."""
        return self.codes.float() * self.scale


def is_kernel(tensor: Tensor) -> bool:
    """True for tensors that are pruned and quantized: weights of rank ≥ 2. Biases and the scales of norms are few, and stay as they are."""
    return tensor.ndim > 1


def pruned(tensors: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The tensors with round(share·n) of all n kernel weights at 0: the smallest over all kernels together; among equals, the first."""
    kernels = [tensor.reshape(-1) for tensor in tensors.values() if is_kernel(tensor)]
    sizes = torch.cat(kernels).abs() if kernels else torch.zeros(0)
    kept = torch.ones_like(sizes, dtype=torch.bool)
    kept[sizes.argsort(stable=True)[: round(share * len(sizes))]] = False
    masks = iter(torch.split(kept, [len(kernel) for kernel in kernels]))
    # Not w·m, because that is −0 where w < 0.
    return {
        name: tensor.masked_fill(~next(masks).view(tensor.shape), 0.0) if is_kernel(tensor) else tensor for name, tensor in tensors.items()
    }


def quantized(tensor: Tensor) -> Quantized:
    """Symmetric int8 codes with one scale for the tensor."""
    scale = float(np.float32(float(tensor.abs().max()) / LEVELS)) or 1.0
    return Quantized((tensor / scale).round().clamp(-LEVELS, LEVELS).to(torch.int8), scale)


def encoded(tensors: Mapping[str, Tensor], bits: int) -> bytes:
    """The tensors as one file; `bits` is 32, or 8 for kernels in int8."""
    parts = [MAGIC, struct.pack("<H", len(tensors))]
    for name, tensor in tensors.items():
        whole = quantized(tensor) if bits == 8 and is_kernel(tensor) else None
        values = (tensor.float() if whole is None else whole.codes).reshape(-1).numpy()
        kind, streams = _shorter(values)
        key = name.encode()
        parts += [struct.pack(f"<B{len(key)}sBB{tensor.ndim}I", len(key), key, kind, tensor.ndim, *tensor.shape)]
        parts += [struct.pack("<f", whole.scale)] if whole else []
        parts += streams
    return b"".join(parts)


def decoded(data: bytes) -> dict[str, Tensor]:
    """The tensors that `encoded` wrote, as float32.

    Raises:
        ValueError: these bytes are no such file, or not all of one.
    """
    if data[:4] != MAGIC:
        raise ValueError(f"an encoded generator begins with {MAGIC!r}; got {data[:4]!r}")
    reader = _Reader(data, 4)
    found = {}
    for _ in range(reader.take("<H")[0]):
        (name,) = reader.take(f"<{reader.take('<B')[0]}s")
        kind, rank = reader.take("<BB")
        shape = reader.take(f"<{rank}I")
        scale = reader.take("<f")[0] if kind & INT8 else 0.0
        values = _values(reader, kind, int(np.prod(shape, dtype=np.int64)))
        tensor = torch.from_numpy(values).view(shape)
        found[name.decode()] = Quantized(tensor, scale).restored() if kind & INT8 else tensor
    return found


def _values(reader: _Reader, kind: int, count: int) -> NDArray[np.generic]:
    dtype = np.dtype(np.int8 if kind & INT8 else "<f4")
    if not kind & SPARSE:
        return np.frombuffer(reader.stream(), dtype).copy()
    kept = np.unpackbits(np.frombuffer(reader.stream(), np.uint8), count=count).astype(bool)
    whole = np.zeros(count, dtype)
    whole[kept] = np.frombuffer(reader.stream(), dtype)
    return whole


def _shorter(values: NDArray[np.generic]) -> tuple[int, list[bytes]]:
    """The kind of a tensor and its streams: the whole tensor, or a bitmap and values."""
    kind = INT8 if values.dtype == np.int8 else FLOAT
    kept = values != 0
    whole = [_stream(values.tobytes(), _HUFFMAN, _DEFLATE)]
    if kept.all():
        return kind, whole
    sparse = [_stream(np.packbits(kept).tobytes(), _HUFFMAN, _DEFLATE, _LZMA), _stream(values[kept].tobytes(), _HUFFMAN, _DEFLATE)]
    return (kind | SPARSE, sparse) if sum(map(len, sparse)) < sum(map(len, whole)) else (kind, whole)


Coder = tuple[int, Callable[[bytes], bytes]]


def _deflated(strategy: int) -> Callable[[bytes], bytes]:
    def encode(data: bytes) -> bytes:
        coder = zlib.compressobj(6, zlib.DEFLATED, -15, 9, strategy)
        return coder.compress(data) + coder.flush()

    return encode


_HUFFMAN: Coder = (DEFLATED, _deflated(zlib.Z_HUFFMAN_ONLY))
_DEFLATE: Coder = (DEFLATED, _deflated(zlib.Z_DEFAULT_STRATEGY))
_LZMA: Coder = (LZMA, lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=_FILTERS))
_DECODERS: dict[int, Callable[[bytes], bytes]] = {
    STORED: lambda data: data,
    DEFLATED: lambda data: zlib.decompress(data, -15),
    LZMA: lambda data: lzma.decompress(data, lzma.FORMAT_RAW, filters=_FILTERS),
}


def _stream(data: bytes, *coders: Coder) -> bytes:
    """Method, length, and the bytes after the coder that makes them shortest."""
    method, shortest = min([(STORED, data), *((method, encode(data)) for method, encode in coders)], key=lambda found: len(found[1]))
    return struct.pack("<BI", method, len(shortest)) + shortest


class _Reader:
    """Reads a file from its start to its end."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def take(self, form: str) -> tuple[Any, ...]:
        """The next values of this form."""
        try:
            found = struct.unpack_from(form, self._data, self._at)
        except struct.error as error:
            raise ValueError(f"an encoded generator of {len(self._data)} bytes ends too early: {error}") from error
        self._at += struct.calcsize(form)
        return found

    def stream(self) -> bytes:
        """The next stream, decoded."""
        method, length = self.take("<BI")
        (data,) = self.take(f"<{length}s")
        return _DECODERS[method](data)
