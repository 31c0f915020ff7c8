"""Random multipart messages, mostly odd ones, with random limits and cuts; for differentials and fuzzing."""

from __future__ import annotations

import itertools
import random

BOUNDARIES = [
    "b",
    "b",
    "b",
    "--b",
    "-",
    "--",
    "b-b",
    "Content",
    "a b",
    "x" * 70,
    "----WebKitFormBoundaryAbCdEf01",
    "bContent-",
    "c",
]
SUBTYPES = ["mixed", "mixed", "form-data", "form-data", "x-mixed-replace", "x-mixed-replace", "Form-Data", "related"]


def random_limits(rng: random.Random) -> dict[str, int | None]:
    if rng.random() < 0.5:
        return {}
    out: dict[str, int | None] = {}
    for name, most in (
        ("max_headers", 4),
        ("max_header_line", 60),
        ("max_header_bytes", 120),
        ("max_total_header_bytes", 150),
        ("max_parameters", 3),
        ("max_parts", 3),
        ("max_part_size", 40),
        ("max_total_size", 400),
        ("max_preamble", 20),
        ("max_epilogue", 20),
    ):
        r = rng.random()
        if r < 0.25:
            out[name] = rng.randint(0, most)
        elif r < 0.3:
            out[name] = None
    return out


def _header(rng: random.Random) -> bytes:
    r = rng.random()
    n = rng.randint(0, 30)
    if r < 0.35:
        return rng.choice(
            [
                b'Content-Disposition: form-data; name="a"',
                b'Content-Disposition: form-data; name="f"; filename="x.bin"',
                b'content-disposition: form-data; name="\xc3\xa9"',
                b"Content-Disposition: attachment; filename=a.txt",
                b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''x",
                b'Content-Disposition: form-data; name="a\\"b"',
                b"Content-Disposition: form-data",
                b'Content-Disposition: form-data; name="a"; filename=""',
            ]
        )
    if r < 0.5:
        return b"Content-Length: %d" % rng.choice([0, 1, 2, 3, 5, n, 100])
    if r < 0.6:
        return rng.choice(
            [
                b"Content-Type: text/plain",
                b"Content-Type: image/jpeg",
                b"Content-Type: multipart/mixed; boundary=c",
                b"Content-Type: image",
                b"content-type: text/plain; charset=utf-8",
                b"Content-Type: MULTIPART/mixed; boundary=c",
                b"Content-Type: text/plain; charset=utf-8",
                b"CONTENT-TYPE: Text/Plain",
            ]
        )
    if r < 0.7:
        return rng.choice(
            [
                b"X-A: 1",
                b"A:",
                b"A: " + b"y" * n,
                b"B: 1\r\n folded",
                b"--b: 1",
                b"--x: 2",
                b"Content-Transfer-Encoding: base64",
            ]
        )
    if r < 0.73:
        return rng.choice(
            [
                b"bad",
                b" A: 1",
                b"A : 1",
                b"A: \x00",
                b"A: \r",
                b"A: \n",
                b"\xff: 1",
                b"Content-Length: -1",
                b"Content-Length: x",
            ]
        )
    return b'Content-Disposition: form-data; name="n%d"' % n


def _noise(rng: random.Random, delim: bytes) -> bytes:
    k = rng.randint(0, 6)
    toks = [
        b"\r\n",
        b"\r",
        b"\n",
        b"-",
        b"--",
        b"x",
        b" ",
        b"\t",
        delim,
        delim[:-1],
        delim[2:],
        delim[1:],
        delim[: rng.randint(0, len(delim))],
        b"y" * rng.randint(0, 40),
        b"\r\n\r\n",
        b"Content-",
        b"Con",
        delim + b" ",
        delim + b"--",
        delim + b"--x",
        delim + b"-",
        delim + b" x",
        delim + b"\r",
        delim + b"--\r",
        b": ",
    ]
    return b"".join(rng.choice(toks) for _ in range(k))


def random_message(rng: random.Random) -> tuple[str, str, bytes]:
    boundary = rng.choice(BOUNDARIES)
    subtype = rng.choice(SUBTYPES)
    dash = (b"--" if not (boundary.startswith("--") and rng.random() < 0.4) else b"") + boundary.encode()
    nl = rng.choice([b"\r\n"] * 8 + [b"\n"] * 2)

    def line_end() -> bytes:
        return nl if rng.random() < 0.985 else rng.choice([b"\r\n", b"\n", b"", b"\r"])

    delim = nl + dash
    out = []
    r = rng.random()
    if r < 0.2:
        out.append(_noise(rng, delim) + line_end())
    elif r < 0.25:
        out.append(line_end())
    first = True
    for _ in range(rng.randint(0, 4)):
        if not (first and rng.random() < 0.15):
            pad = rng.choice(
                [b""] * 9 + [b" ", b"\t ", b" " * rng.randint(1, 70), b"Content-Type: a/b", b"cOntent-x: 1"]
            )
            out.append(dash + pad + line_end())
            if rng.random() < 0.05:
                out.append(dash + rng.choice([b"", b" ", b"--"]) + line_end())
        first = False
        out += [_header(rng) + line_end() for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 6]))]
        if rng.random() < 0.97:
            out.append(line_end())
        r = rng.random()
        if r < 0.15:
            pass
        elif r < 0.6:
            out.append(bytes(rng.choice(b"xyz\r\n-") for _ in range(rng.randint(0, 30))))
        else:
            out.append(_noise(rng, delim))
        if rng.random() < 0.93:
            out.append(line_end())
    if rng.random() < 0.8:
        out.append(dash + b"--" + rng.choice([b"", b"", line_end(), b" " + line_end(), b"\t", b"x"]))
        if rng.random() < 0.3:
            out.append(_noise(rng, delim))
    data = b"".join(out)
    if rng.random() < 0.1 and data:
        i = rng.randrange(len(data))
        j = min(len(data), i + rng.randint(0, 4))
        data = data[:i] + rng.choice([b"", b"\r", b"\n", b"-", b"x", data[: rng.randint(0, len(data))]]) + data[j:]
    return boundary, subtype, data


def random_cuts(rng: random.Random, data: bytes) -> list[bytes]:
    kind = rng.randrange(4)
    if kind == 0:
        return [data]
    if kind == 1:
        return [data[i : i + 1] for i in range(len(data))]
    n = rng.choice([1, 1, 2, 3, 8, 1 + len(data) // 8])
    places = sorted(rng.randint(0, len(data)) for _ in range(n))
    places = [0, *places, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]
