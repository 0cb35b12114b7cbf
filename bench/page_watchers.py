"""Open payment pages, a process of its own: as many as links on stdin follow their live status.

Prints `open` when all have an answer, and one JSON document after stdin has closed.
"""

import asyncio
import json
import sys
from urllib.parse import urlsplit

import attrs

#: The time that payd gives to browsers.
_RECONNECT_S = 2.0
_TIMEOUT_S = 60.0


@attrs.define
class Watchers:
    """All pages of this process."""

    answered: int = 0
    refused: int = 0
    reconnected: int = 0

    async def watch(self, host: str, port: int, path: str) -> None:
        """Follow one page: whenever its answer ends, ask again."""
        is_first = True
        while True:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path}/events?after=1000 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            status = await reader.readline()
            self.refused += b" 200 " not in status
            self.answered += is_first
            self.reconnected += not is_first
            is_first = False
            while chunk_size := int((await _after_head(reader, status)) or b"0", 16):
                await reader.readexactly(chunk_size + 2)
                status = b""
            writer.close()
            await asyncio.sleep(_RECONNECT_S)


async def _after_head(reader: asyncio.StreamReader, status: bytes) -> bytes:
    """Skip the rest of the head where there is one, and read the size of the next chunk."""
    if status:
        await reader.readuntil(b"\r\n\r\n")
    return (await reader.readline()).strip()


async def main() -> None:
    """Read where the pages are, open them, and keep them open."""
    place = json.loads(sys.stdin.readline())
    host, _, port = place["http"].partition(":")
    watchers = Watchers()
    async with asyncio.TaskGroup() as pages:
        tasks = [
            pages.create_task(watchers.watch(host, int(port), urlsplit(url).path))
            for url in place["urls"]
        ]
        async with asyncio.timeout(_TIMEOUT_S):
            while watchers.answered < len(tasks):  # noqa: ASYNC110 - counted by many tasks
                await asyncio.sleep(0.05)
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
    print(json.dumps(attrs.asdict(watchers)))


if __name__ == "__main__":
    asyncio.run(main())
