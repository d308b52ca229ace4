"""TensorFlow's checkpoints of version 2, read without TensorFlow.

The format (tensorflow/core/util/tensor_bundle, protobuf/tensor_bundle.proto): PREFIX.index is a
table as LevelDB's, from a variable's name to where its bytes lie in PREFIX.data-00000-of-00001.
"""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

MAGIC = 0xDB4775248B80FB57  # how a table ends
FOOTER = 48  # bytes
TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 6: "|i1", 9: "<i8", 10: "|b1", 19: "<f2"}


def read(prefix: Path | str) -> dict[str, Tensor]:
    """The variables of a checkpoint by their names, e.g. "model/conv1".

    prefix: what `tf.train.Saver.save` returned, the path without ".index". Raises
    FileNotFoundError if one of its files is not there, and ValueError naming the file if it is
    damaged, no such checkpoint, or holds what is not read here: partitioned variables, big-endian
    numbers, or a type that torch does not have.
    """
    prefix = Path(prefix)
    place = prefix.with_name(prefix.name + ".index")
    table = place.read_bytes()
    try:
        entries = dict(_table(table))
        header = _fields(entries.pop(b""))
        if header.get(2, [0])[0] != 0:
            raise ValueError("its numbers are big-endian")
        shards = int(header[1][0])
        told = {name.decode(): _fields(entry) for name, entry in entries.items()}
    except (IndexError, KeyError, TypeError, struct.error, UnicodeDecodeError):
        raise ValueError(
            f"{place} is damaged, or no checkpoint of TensorFlow's version 2"
        ) from None
    except ValueError as error:
        raise ValueError(f"{place} is refused: {error}") from None

    @cache
    def shard(number):
        return prefix.with_name(f"{prefix.name}.data-{number:05}-of-{shards:05}")

    return {name: _tensor(name, entry, shard) for name, entry in told.items()}


def _tensor(name, entry, shard) -> Tensor:
    """One variable. entry: its BundleEntryProto: 1 the type, 2 the shape, 3 the shard, 4 where it
    begins, 5 how many bytes, 6 their check sum, 7 slices."""
    if 7 in entry or entry.get(1, [0])[0] not in TYPES:
        raise ValueError(f"the variable {name} is partitioned, or of a type that is not read")
    sizes = _fields(entry.get(2, [b""])[0]).get(2, [])
    shape = [_fields(size).get(1, [0])[0] for size in sizes]
    number, offset, count = (entry.get(k, [0])[0] for k in (3, 4, 5))
    file = shard(number)
    with file.open("rb") as data:
        data.seek(offset)
        content = data.read(count)
    kind = np.dtype(TYPES[entry[1][0]])
    fits = len(content) == count == kind.itemsize * int(np.prod(shape, dtype=np.int64))
    if not fits or _masked(crc32c(content)) != entry.get(6, [None])[0]:
        raise ValueError(f"{file} is damaged: the bytes of {name} are not those that were written")
    return torch.from_numpy(np.frombuffer(content, kind).reshape(shape).copy())


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table."""
    footer = data[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("it does not end as a checkpoint of TensorFlow's version 2")
    _, at = _handle(footer, 0)  # of the metaindex, which is empty
    index, _ = _handle(footer, at)
    for _, handle in _block(data, *index):
        yield from _block(data, *_handle(handle, 0)[0])


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """A block's entries: each key is told by how many bytes it shares with the one before."""
    kind, check = struct.unpack("<BI", data[offset + size : offset + size + 5])
    if kind != 0:
        raise ValueError("it is compressed")
    if _masked(crc32c(data[offset : offset + size + 1])) != check:
        raise ValueError("a check sum is wrong")
    block = data[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    at, end, key = 0, len(block) - 4 - 4 * restarts, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Where a block lies: ((its first byte, its length), where the next thing is)."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number in seven bits a byte, and where the next thing is."""
    value = shift = 0
    while data[at] & 128:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def _fields(message: bytes) -> dict[int, list]:
    """The fields of a protocol buffer by number: whole numbers, or the bytes of what lies in it."""
    found: dict[int, list] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, size = tag & 7, {1: 8, 5: 4}.get(tag & 7, 0)
        if kind == 0:
            value, at = _varint(message, at)
        elif kind in (1, 5):
            value, at = int.from_bytes(message[at : at + size], "little"), at + size
        else:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


@cache
def _castagnoli() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data: bytes) -> int:
    """The check sum of Castagnoli's polynomial.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, value = _castagnoli(), 0xFFFFFFFF
    for byte in data:
        value = table[value & 255 ^ byte] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _masked(check: int) -> int:
    """As LevelDB writes check sums."""
    return ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF
