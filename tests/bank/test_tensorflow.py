"""TensorFlow's checkpoints: what the format says is read, and what is damaged is refused. The
checkpoints here are made up, written by the format's description, not by TensorFlow."""

import struct

import numpy as np
import pytest
import torch

from mamlkit.bank.tensorflow import MAGIC, TYPES, crc32c, read

KINDS = {np.dtype(kind): number for number, kind in TYPES.items()}


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def told(number, value):
    """A field of a protocol buffer."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def masked(data):
    check = crc32c(data)
    return struct.pack("<I", ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def block(entries):
    """Entries with shared beginnings of keys, one restart, no compression, a check sum."""
    content, before = b"", b""
    for key, value in entries:
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before)) if a != b), min(len(key), len(before))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content += key[shared:] + value
        before = key
    content += struct.pack("<II", 0, 1)
    return content + b"\0" + masked(content + b"\0")


def write(prefix, variables, per_block=2):
    """A checkpoint of arrays in one shard, as tensor_bundle.proto and LevelDB's table describe."""
    data, entries = b"", [(b"", told(1, 1) + told(3, told(1, 1)))]
    for name in sorted(variables):
        array = variables[name]
        content = array.tobytes()
        shape = b"".join(told(2, told(1, size)) for size in array.shape)
        entry = told(1, KINDS[array.dtype]) + told(2, shape) + told(4, len(data))
        entry += told(5, len(content)) + varint(6 << 3 | 5) + masked(content)
        entries.append((name.encode(), entry))
        data += content
    table, index = b"", []
    for i in range(0, len(entries), per_block):
        part = entries[i : i + per_block]
        made = block(part)
        index.append((part[-1][0] + b"~", varint(len(table)) + varint(len(made) - 5)))
        table += made
    ends = []
    for part in ([], index):
        made = block(part)
        ends.append(varint(len(table)) + varint(len(made) - 5))
        table += made
    table += b"".join(ends).ljust(40, b"\0") + struct.pack("<Q", MAGIC)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table)
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    return prefix


def arrays():
    draw = np.random.default_rng(0)
    return {
        "model/conv1": draw.normal(size=(3, 3, 2, 5)).astype("<f4"),
        "model/conv10": draw.normal(size=(7,)),
        "model/0/beta": draw.normal(size=(200,)).astype("<f4"),
        "steps": np.array(59_000, "<i8"),
    }


@pytest.mark.parametrize("per_block", [1, 2, 9])
def test_variables_are_read_as_they_were_written(tmp_path, per_block):
    made = arrays()
    found = read(write(tmp_path / "model.ckpt-3", made, per_block))
    assert found.keys() == made.keys()
    for name, array in made.items():
        assert torch.equal(found[name], torch.from_numpy(np.array(array))), name


def test_a_changed_byte_never_changes_a_number(tmp_path):
    """It is refused, or lies where nothing is read: in the empty metaindex and the filling."""
    prefix, refused = write(tmp_path / "m", arrays()), 0
    for end in ("index", "data-00000-of-00001"):
        file = tmp_path / f"m.{end}"
        whole = file.read_bytes()
        for at in range(0, len(whole), 7):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])
            try:
                found = read(prefix)
            except (ValueError, FileNotFoundError) as refusal:
                assert f"m.{end}" in str(refusal)
                refused += 1
            else:
                same = {n: torch.equal(found[n], torch.tensor(a)) for n, a in arrays().items()}
                assert end == "index" and all(same.values())
        file.write_bytes(whole[:-9])
        with pytest.raises(ValueError, match="m\\."):
            read(prefix)
        file.write_bytes(whole)
    assert refused > 200


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")
    for content in (b"", b"x" * 100, b"\0" * 40 + struct.pack("<Q", MAGIC)):
        (tmp_path / "m.index").write_bytes(content)
        with pytest.raises(ValueError, match="m.index is (refused|damaged)"):
            read(tmp_path / "m")
