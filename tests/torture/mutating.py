"""Ways to damage a file that know how it is built: trees of keys, lines, cells, chunks of images, states of training.

Each returns the damaged bytes and where it struck: the keys on the way there, or nothing where the whole file suffers.
"""

import copy
import io
import json
import struct
import zlib

import yaml

DIGITS, NESTED, DEEP = "@digits@", "@nested@", "@deep@"
RAW = {DIGITS: "9" * 5000, NESTED: "[" * 500 + "]" * 500, DEEP: "[" * 50_000 + "]" * 50_000}
"""Words of a document that stand for what its writer would not write."""
VALUES = (
    *(None, True, False, 0, -1, 1, 3, 2**63, -(2**63) - 1, 2**70, 1e308, -1e308, 5e-324, -0.0, 0.5, float("nan")),
    *(float("inf"), float("-inf"), [], {}, [[]], [None], {"a": None}, [1, 2, 3], {"": ""}, "", " ", "yes", "NaN"),
    *("1e999", "1,5", "\ud800", "\x00", "\x1b[31m", "\u202e", "[/x]", "[bold]", "=1+1", "é", "٣", "../../etc/passwd"),
    *("/etc/passwd", "aux", "a" * 300, "a\nb", "\r", "%s%n", "{x}", "$(x)", "3->2", "-1", "1" * 400),
    *("9999-12-31T23:59-14:00", "0001-01-01T00:00+14:00", "2025-02-30", DIGITS, NESTED, DEEP),
)
BOMB = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}' if n else '0'] * 9)}]" for n in range(9)) + "\n"


def mutate(content, form, rolled):
    """Return content of a form, damaged, and the keys that lead to the damage."""
    binary = {"png": png, "jpeg": jpeg, "state": state, "tensors": tensors}
    if form in binary:
        ways = [binary[form], binary[form], flipped]
        return rolled.choice(ways)(content, rolled), []
    ways = {"json": (tree, tree, tree, text), "yaml": (tree, tree, tree, text), "jsonl": (line, line, text)}
    return rolled.choice(ways.get(form, (cell, cell, text)))(content, form, rolled)


def tree(content, form, rolled):
    """Change a document's values and keys."""
    document = json.loads(content) if form == "json" else yaml.safe_load(content)
    document, path = in_tree(document, rolled)
    return written(document, form, rolled), path


def written(document, form, rolled):
    """Return a document as text, as a person or another program would have written it."""
    if form == "json":
        said = json.dumps(document, indent=rolled.choice((None, 1, 1)), ensure_ascii=rolled.random() < 0.5)
    else:
        said = yaml.dump(document, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=rolled.random() < 0.5)
    for word, raw in RAW.items():
        said = said.replace(f'"{word}"', raw).replace(f"'{word}'", raw).replace(word, raw)
    return said.encode("utf-8", "surrogatepass")


def in_tree(document, rolled, values=VALUES):
    """Return a document with one place changed, and the keys that lead there."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places or rolled.random() < 0.02:
        return copy.deepcopy(rolled.choice(values)), []
    holder, key, path = rolled.choice(places)
    if rolled.random() < 0.3:  # the outer keys are few, and matter
        holder, key, path = rolled.choice([place for place in places if len(place[2]) <= 2])
    other, at, _ = rolled.choice(places)
    spliced = copy.deepcopy(other[at])
    return document, _changed(holder, key, path, rolled, values, spliced)


def _changed(holder, key, path, rolled, values, spliced):
    """Change one value or key and return where that was."""
    value, fresh = holder[key], copy.deepcopy(rolled.choice(values))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    way = rolled.choice(("gone", "spliced", "wrapped", "number", "renamed", "surplus", *["fresh"] * 6))
    if way == "gone":
        del holder[key]
    elif way == "renamed" and isinstance(holder, dict):
        path = [*path, rolled.choice((f"{key}x", str(key)[:-1], "", "name", str(key).upper(), "\ud800", DIGITS))]
        holder[path[-1]] = holder.pop(key)
    elif way == "surplus" and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(value)] * rolled.choice((1, 1, 100))
    elif way == "surplus":
        path = [*path[:-1], rolled.choice(("surplus", "name", ""))]
        holder[path[-1]] = fresh
    else:
        ways = {"spliced": spliced, "wrapped": rolled.choice(([value], {"a": value}, str(value), [value, value]))}
        if number:
            ways["number"] = rolled.choice((-value, value * 1e30, value * 1e-30, value + 0.5, str(value), value + 1))
        holder[key] = ways.get(way, fresh)
        path = [*path, "a"] if isinstance(holder[key], dict) and [*holder[key]] == ["a"] else path
    return path


def _places(node, path=()):
    """Yield each value's holder, key and the keys that lead there."""
    if len(path) < 12:
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in list(pairs):
            yield node, key, [*path, key]
            yield from _places(value, (*path, key))


def text(content, form, rolled):
    """Change text without minding what it says."""
    lines = content.split(b"\n")
    at = rolled.randrange(len(lines))
    cut = rolled.randrange(len(content) or 1)
    ways = {
        "cut": lambda: content[:cut],
        "twice": lambda: b"\n".join([*lines[: at + 1], *lines[at:]]),
        "gone": lambda: b"\n".join([*lines[:at], *lines[at + 1 :]]),
        "swapped": lambda: b"\n".join([*lines[:at], *reversed(lines[at : at + 2]), *lines[at + 2 :]]),
        "bytes": lambda: (
            content[:cut] + rolled.choice((b"\xff", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\x1b")) + content[cut:]
        ),
        "sign": lambda: (
            content[:cut]
            + rolled.choice(
                (b"{", b"}", b"[", b"]", b'"', b":", b"\t", b"-", b"&a ", b"*a", b"!!python/x ", b"<<: ", b"%", b"`")
            )
            + content[cut:]
        ),
        "flip": lambda: flipped(content, rolled),
        "mark": lambda: b"\xef\xbb\xbf" + content,
        "wide": lambda: content.decode().encode("utf-16"),
        "ends": lambda: content.replace(b"\n", rolled.choice((b"\r\n", b"\r", b"\xe2\x80\xa8"))),
        "merge": lambda: b"\n".join(
            [
                *lines[:at],
                b"<<<<<<< HEAD",
                *lines[at : at + 2],
                b"=======",
                *lines[at + 1 : at + 2],
                b">>>>>>> x",
                *lines[at + 2 :],
            ]
        ),
        "again": lambda: content + content,
        "empty": lambda: rolled.choice((b"", b"\n", b"null", b"[]", b"{}", b"0", b'"x"', b"# nothing\n")),
        "self": lambda: b"a: &a\n  b: *a\n" + content if form == "yaml" else content[:-2],
        "bomb": lambda: BOMB.encode() + content if form == "yaml" else b"[" * 5000 + content,
    }
    return ways[rolled.choice([*ways])](), []


def flipped(content, rolled):
    """Change a few bytes, or drop or repeat some."""
    damaged = bytearray(content)
    for _ in range(rolled.choice((1, 1, 2, 8))):
        at = rolled.randrange(len(damaged) or 1)
        way = rolled.randrange(4)
        if way == 0:
            del damaged[at : at + rolled.choice((1, 4, 100))]
        elif way == 1:
            damaged[at:at] = damaged[at : at + rolled.choice((1, 4, 100))]
        elif damaged:
            damaged[at] = rolled.randrange(256)
    return bytes(damaged)


def line(content, form, rolled):
    """Change one object of a log."""
    lines = content.decode().splitlines()
    at = rolled.randrange(len(lines))
    document, path = in_tree(json.loads(lines[at]), rolled)
    lines[at] = written(document, "json", rolled).decode("utf-8", "surrogatepass").replace("\n", " ")
    return "\n".join([*lines, ""]).encode("utf-8", "surrogatepass"), [at + 1, *path]


def cell(content, form, rolled):
    """Change a cell of a table."""
    rows = [row.split(",") for row in content.decode().splitlines()]
    at = rolled.randrange(len(rows))
    row = rows[at]
    column = rolled.randrange(len(row))
    way = rolled.randrange(6)
    if way == 0:
        row.append("7")
    elif way == 1:
        del row[column]
    elif way == 2:
        row[column] = rolled.choice(
            ('"', '"a', "12,9", "1.234,5", "0.3", "-3", "1e400", "12 g", "2025-01-01T24:00Z", "")
        )
    elif way == 3:
        rows[at:at] = [list(row)] * rolled.choice((1, 24))
    elif way == 4:
        del rows[at : at + rolled.choice((1, 30))]
    else:
        said = str(rolled.choice(VALUES))
        row[column] = RAW.get(said, said)
    return "\n".join([*(",".join(row) for row in rows), ""]).encode("utf-8", "surrogatepass"), [at + 1]


def png(content, rolled):
    """Change an image's header, with its sum put right, or the order and lengths of its chunks."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + length]])
        at += 12 + length
    way = rolled.randrange(5)
    if way < 2:
        numbers = [*struct.unpack(">IIBBBBB", chunks[0][1])]
        which = rolled.randrange(7)
        numbers[which] = rolled.choice(
            (0, 1, 7, 60_000, 2**31 - 1, 2**32 - 1) if which < 2 else (0, 1, 2, 3, 4, 6, 16, 255)
        )
        if rolled.random() < 0.3:
            numbers[:2] = [rolled.choice((30_000, 60_000, 2**31 - 1))] * 2
        chunks[0][1] = struct.pack(">IIBBBBB", *numbers)
    elif way == 2:
        rolled.shuffle(chunks)
    elif way == 3:
        chunks.insert(
            rolled.randrange(len(chunks)),
            [rolled.choice((b"acTL", b"eXIf", b"tEXt", b"PLTE", b"\xff\xff\xff\xff")), rolled.randbytes(30)],
        )
    else:
        del chunks[rolled.randrange(len(chunks))]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return content[:8] + b"".join(packed)


def jpeg(content, rolled):
    """Change an image's size, the lengths of its segments, or where it ends."""
    way = rolled.randrange(5)
    damaged = bytearray(content)
    frame = next(at for at in range(2, len(content)) if content[at] == 0xFF and content[at + 1] in (0xC0, 0xC1, 0xC2))
    if way == 0:
        damaged[frame + 5 : frame + 9] = struct.pack(">HH", *(rolled.choice((0, 1, 7, 40_000, 65_535)) for _ in "wh"))
    elif way == 1:
        damaged[frame + rolled.choice((2, 3, 4, 9, 11))] = rolled.randrange(256)
    elif way == 2:
        return bytes(damaged[: rolled.randrange(4, len(damaged))]) + b"\xff\xd9"
    elif way == 3:
        return bytes(damaged) + rolled.randbytes(rolled.choice((1, 5000)))
    else:
        orientation = (
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([rolled.randrange(10)]) + b"\0\0\0\0\0\0\0"
        )
        damaged[2:2] = b"\xff\xe1" + struct.pack(">H", len(orientation) + rolled.choice((2, 2, 9000))) + orientation
    return bytes(damaged)


def state(content, rolled):
    """Change what a training state holds."""
    import torch

    held = torch.load(io.BytesIO(content), weights_only=True)
    values = (
        None,
        -1,
        10**9,
        2**70,
        float("nan"),
        "x",
        [],
        {},
        torch.zeros(3),
        torch.zeros(0),
        torch.tensor(float("nan")),
        b"x",
        (),
        True,
    )
    for _ in range(rolled.choice((1, 1, 3))):
        held, _ = in_tree(held, rolled, values)
    out = io.BytesIO()
    torch.save(held, out)
    return out.getvalue()


def tensors(content, rolled):
    """Change the header of a file of weights, or the length that it gives."""
    (length,) = struct.unpack("<Q", content[:8])
    header, _ = in_tree(json.loads(content[8 : 8 + length]), rolled)
    said = written(header, "json", rolled)
    return struct.pack("<Q", len(said) + rolled.choice((0, 0, 0, -1, 7, 2**40))) + said + content[8 + length :]
