#!/usr/bin/env python3
"""Opens WebSockets by Python's `websockets`. Reads commands and writes events, as lines of JSON.

    {"id": 1, "open": {"url": "ws://...", "protocols": [...], "headers": [[name, value], ...]}}
    {"id": 1, "send": "text"}
    {"id": 1, "close": true}

    {"ready": "10.4"}
    {"id": 1, "opened": {"protocol": "chat"}}
    {"id": 1, "text": "..."}
    {"id": 1, "closed": {"code": 1008, "reason": "token expired"}}
"""

import asyncio
import json
import sys

import websockets

# In seconds. It only ends a test that hangs.
DEADLINE = 60
VERSION = int(websockets.__version__.split(".")[0])

sockets = {}


def report(id, **event):
    print(json.dumps({"id": id, **event}), flush=True)


async def connect(id, url, protocols, headers):
    """Opens a connection, and reports its events until it is closed."""
    # Its pings could close the connection on a busy machine.
    options = {"open_timeout": DEADLINE, "close_timeout": DEADLINE, "ping_interval": None}
    options["extra_headers" if VERSION < 14 else "additional_headers"] = headers
    if VERSION >= 15:
        options["proxy"] = None
    try:
        socket = await websockets.connect(url, subprotocols=protocols or None, **options)
    except Exception as error:
        response = getattr(error, "response", error)
        report(id, closed={"code": 1006, "reason": "", "status": getattr(response, "status_code", None), "error": str(error)})
        return
    sockets[id] = socket
    report(id, opened={"protocol": socket.subprotocol or ""})
    try:
        async for text in socket:
            report(id, text=text)
    except websockets.ConnectionClosed:
        pass
    report(id, closed={"code": socket.close_code, "reason": socket.close_reason})


async def main():
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tasks = set()
    print(json.dumps({"ready": websockets.__version__}), flush=True)
    while line := await lines.readline():
        command = json.loads(line)
        id = command["id"]
        if "open" in command:
            work = connect(id, **command["open"])
        elif "send" in command:
            work = sockets[id].send(command["send"])
        else:
            work = sockets[id].close()
        task = asyncio.create_task(work)
        # The event loop holds only weak references to tasks.
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
