"""What can happen to a file: each damage takes its bytes and a generator, and returns others.

Nothing here is an exploit: bytes are cut, flipped, zeroed or replaced at random,
or a size is claimed that is not there.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]

HEADER = 400
"""Bytes at the beginning that are mostly a header."""


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """The end is missing."""
    return data[: int(len(data) * rng.uniform(0.02, 0.9))]


def cut_short(data: bytes, rng: np.random.Generator) -> bytes:
    """All but the first bytes is missing."""
    return data[: int(rng.integers(1, 64))]


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes anywhere are others."""
    return _flipped(data, rng, 0, len(data), int(rng.integers(8, 64)))


def flip_in_header(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes at the beginning are others."""
    return _flipped(data, rng, 4, min(HEADER, len(data)), int(rng.integers(1, 6)))


def flip_in_tail(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes at the end are others: where zip and Parquet keep their table."""
    return _flipped(data, rng, max(0, len(data) - HEADER), len(data), int(rng.integers(1, 6)))


def _flipped(data: bytes, rng: np.random.Generator, low: int, high: int, count: int) -> bytes:
    out = bytearray(data)
    if high <= low:
        return bytes(out)
    for at in rng.integers(low, high, count):
        out[at] ^= int(rng.integers(1, 256))
    return bytes(out)


def hole(data: bytes, rng: np.random.Generator) -> bytes:
    """A block in the middle is zero, as after a crash."""
    start = int(rng.integers(len(data) // 4, max(len(data) // 2, len(data) // 4 + 1)))
    length = len(data) // 4
    return data[:start] + bytes(length) + data[start + length :]


def twice(data: bytes, _: np.random.Generator) -> bytes:
    """Two downloads in one file: the second from the middle on."""
    return data[: len(data) // 2] + data


def empty(_: bytes, __: np.random.Generator) -> bytes:
    """Nothing is left."""
    return b""


def zeros(data: bytes, _: np.random.Generator) -> bytes:
    """All bytes are zero."""
    return bytes(len(data))


def noise(data: bytes, rng: np.random.Generator) -> bytes:
    """All bytes are random."""
    return rng.bytes(max(64, min(len(data), 4096)))


def page(_: bytes, __: np.random.Generator) -> bytes:
    """A page of an error instead of the file, as downloads leave it."""
    return b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>no</body></html>\n"


def letters(_: bytes, rng: np.random.Generator) -> bytes:
    """Text of no meaning."""
    return bytes(rng.integers(32, 127, 700).astype(np.uint8))


def upside_down(data: bytes, _: np.random.Generator) -> bytes:
    """The last byte comes first."""
    return data[::-1]


WHOLE: tuple[Damage, ...] = (cut, cut_short, empty, zeros, noise, page, letters, upside_down)
"""After these nothing is left that a format could take for whole."""
PARTS: tuple[Damage, ...] = (flip, flip_in_header, flip_in_tail, hole, twice)


def claim_of_png(data: bytes, rng: np.random.Generator) -> bytes:
    """A PNG whose header, with a right checksum, claims millions of pixels a side."""
    side = int(rng.choice([70_000, 2_000_000, 2**31 - 1]))
    header = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def claim_of_tiff(data: bytes, rng: np.random.Generator) -> bytes:
    """A classic little-endian TIFF whose directory claims other sizes, counts or places."""
    out = bytearray(data)
    (at,) = struct.unpack_from("<I", out, 4)
    (count,) = struct.unpack_from("<H", out, at)
    tags = {
        struct.unpack_from("<H", out, at + 2 + 12 * n)[0]: at + 2 + 12 * n for n in range(count)
    }
    wanted = [tag for tag in (256, 257, 258, 259, 273, 277, 278, 279, 322, 324, 325) if tag in tags]
    entry = tags[int(rng.choice(wanted))]
    value = int(rng.choice([0, 1, 65_535, 10**6, 2**31 - 1, 2**32 - 1]))
    struct.pack_into("<HII", out, entry + 2, 4, 1, value)
    return bytes(out)


def odd_json(data: bytes, rng: np.random.Generator) -> bytes:
    """One value of a JSON file is of another kind, or its key is gone."""
    loaded = json.loads(data)
    places = list(_places(loaded))
    holder, key = places[int(rng.integers(len(places)))]
    odd: list[Any] = [None, [], {}, "x", -1, 1e308, 10**30, True, [[[]]], {"a": {"a": 1}}, ""]
    choice = int(rng.integers(len(odd) + 1))
    if choice == len(odd):
        del holder[key]
    else:
        holder[key] = odd[choice]
    return json.dumps(loaded).encode()


def _places(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def list_json(data: bytes, _: np.random.Generator) -> bytes:
    """The object in a list."""
    return b"[" + data + b"]"


def deep_json(_: bytes, __: np.random.Generator) -> bytes:
    """Brackets in brackets."""
    return b'{"type": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def nan_json(data: bytes, rng: np.random.Generator) -> bytes:
    """A number is none, as Python writes it."""
    text = data.decode()
    digits = [at for at, sign in enumerate(text) if sign.isdigit() and text[at - 1] in " [,"]
    if not digits:
        return b"NaN"
    at = int(rng.choice(digits))
    end = at
    while end < len(text) and text[end] in "0123456789.e-+":
        end += 1
    return (text[:at] + "NaN" + text[end:]).encode()


JSON: tuple[Damage, ...] = (
    odd_json,
    odd_json,
    odd_json,
    list_json,
    deep_json,
    nan_json,
    cut,
    empty,
)


def semicolons(data: bytes, _: np.random.Generator) -> bytes:
    """As a spreadsheet of another country writes it."""
    return data.replace(b",", b";")


def utf16(data: bytes, _: np.random.Generator) -> bytes:
    """In another encoding."""
    return data.decode("latin1").encode("utf-16")


def latin1(data: bytes, _: np.random.Generator) -> bytes:
    """With a letter that is no UTF-8."""
    return data + b"\xe4,\xf6\n"


def open_quote(data: bytes, rng: np.random.Generator) -> bytes:
    """A quotation mark that is not closed."""
    at = int(rng.integers(len(data)))
    return data[:at] + b'"' + data[at:]


def nul(data: bytes, rng: np.random.Generator) -> bytes:
    """A zero byte in the text."""
    at = int(rng.integers(len(data)))
    return data[:at] + b"\0" + data[at:]


def fewer_cells(data: bytes, _: np.random.Generator) -> bytes:
    """Lines of unequal length."""
    first, rest = data.split(b"\n", 1)
    return first + b"\n" + rest.replace(b",", b"", 1) + b"a,b,c,d,e,f,g,h\n"


def header_alone(data: bytes, _: np.random.Generator) -> bytes:
    """No line but the first."""
    return data.partition(b"\n")[0] + b"\n"


def no_header(data: bytes, _: np.random.Generator) -> bytes:
    """All lines but the first."""
    return data.partition(b"\n")[2]


def header_twice(data: bytes, _: np.random.Generator) -> bytes:
    """Every column twice."""
    return b"\n".join(line + b"," + line for line in data.split(b"\n") if line)


def long_cell(data: bytes, _: np.random.Generator) -> bytes:
    """A cell of 200,000 letters."""
    return data + b"a" * 200_000 + b",b,c\n"


CSV: tuple[Damage, ...] = (
    semicolons, utf16, latin1, open_quote, nul, fewer_cells, header_alone, no_header,
    header_twice, long_cell, empty, noise, cut,
)  # fmt: skip


def deep_yaml(_: bytes, __: np.random.Generator) -> bytes:
    """Brackets in brackets."""
    return b"pairs: " + b"[" * 50_000


def aliases(_: bytes, __: np.random.Generator) -> bytes:
    """Few bytes that stand for many values, within bounds that do no harm."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 16)]
    return "\n".join([*lines, "pairs: *a15"]).encode()


def odd_yaml(data: bytes, rng: np.random.Generator) -> bytes:
    """A value of another kind."""
    lines = [line for line in data.decode().splitlines() if line.strip()]
    at = int(rng.integers(len(lines)))
    odd = ["[1, 2]", "{a: b}", "2020-01-01", "null", "!!int x", "!!timestamp x", "'", "*none", "-1"]
    lines[at] = f"{lines[at].partition(':')[0]}: {odd[int(rng.integers(len(odd)))]}"
    return "\n".join(lines).encode()


def list_yaml(data: bytes, _: np.random.Generator) -> bytes:
    """A list instead of keys."""
    return b"\n".join(b"- " + line for line in data.splitlines())


YAML: tuple[Damage, ...] = (
    odd_yaml, odd_yaml, odd_yaml, deep_yaml, aliases, list_yaml, utf16, latin1, nul, empty, noise,
)  # fmt: skip


def pickled(_: bytes, __: np.random.Generator) -> bytes:
    """An array of objects, as numpy pickles it: a harmless list."""
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}, [2]], dtype=object), allow_pickle=True)
    return out.getvalue()
