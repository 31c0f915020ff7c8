"""A server of its own that is sent a large file, and the memory that it takes."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

from tests.support.saving import MIB, pattern

TIMEOUT = 60


def memory(pid: int, key: str) -> int:
    """What /proc says, in bytes: VmRSS is the memory now, VmHWM the most that it has been."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(key)


def forget_peak(pid: int) -> int:
    """Have VmHWM be VmRSS again; what that is."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = memory(pid, "VmRSS")
    assert abs(memory(pid, "VmHWM") - before) < MIB
    return before


def post(address: tuple[str, int], size: int) -> tuple[bytes, str]:
    """Send a form with a file of so many bytes: the content of the response, and the SHA-256 of the file."""
    start = (
        b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nlarge\r\n'
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n'
    )
    end = b"\r\n--b--\r\n"
    head = (
        "POST / HTTP/1.1\r\nHost: server\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(start) + size + len(end)}\r\n\r\n"
    )
    block, digest = pattern(MIB), hashlib.sha256()
    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        connection.sendall(head.encode() + start)
        for offset in range(0, size, MIB):
            piece = block[: size - offset]
            connection.sendall(piece)
            digest.update(piece)
        connection.sendall(end)
        response = connection.makefile("rb").read()
    status, _, content = response.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 200 "), response
    return content, digest.hexdigest()
