"""nginx, as a test's counterpart or as what stands in front of a server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.browsing import running, until

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextlib.asynccontextmanager
async def running_nginx(nginx: str, prefix: Path, server: str) -> AsyncIterator[str]:
    """nginx, until the end of the block: its URL, without the slash.

    :param prefix: a directory of its own.
    :param server: what stands in its one ``server`` block, but for ``listen``.
    """
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    configuration = prefix / "nginx.conf"
    temporary = "".join(f"{name}_temp_path {prefix}/{name};\n" for name in _TEMPORARY)
    configuration.write_text(
        f"daemon off; master_process off; pid {prefix}/pid; error_log {prefix}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}types {{ text/plain txt; }}\n"
        f"server {{ listen 127.0.0.1:{port}; {server} }} }}\n"
    )
    command = (nginx, "-p", str(prefix), "-c", str(configuration), "-e", str(prefix / "error.log"))
    async with running(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT) as process:

        async def accepts() -> bool:
            assert process.returncode is None, (await process.communicate())[0].decode()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return False
            writer.close()
            await writer.wait_closed()
            return True

        await until(accepts)
        yield f"http://127.0.0.1:{port}"
