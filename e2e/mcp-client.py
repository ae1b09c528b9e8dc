"""A client with the login of the Python SDK, for the end-to-end tests, which play the user:
``mcp-client.py URL REDIRECT_URI MODE``.

It speaks the lines of the client of ``rmcp``: see ``examples/mcp/examples/client.rs``.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlparse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata


class Storage:
    """Keeps tokens and the registration in memory."""

    tokens = None
    client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


def write(line):
    print(json.dumps(line), flush=True)


async def read():
    return await asyncio.to_thread(sys.stdin.readline)


async def redirect(url):
    write({"authorize": url})


async def callback():
    query = parse_qs(urlparse((await read()).strip()).query)
    first = {name: values[0] for name, values in query.items()}
    return AuthorizationCodeResult(code=first["code"], state=first.get("state"), iss=first.get("iss"))


async def main(url, redirect_uri, mode):
    metadata = OAuthClientMetadata(
        client_name="python", redirect_uris=[redirect_uri], token_endpoint_auth_method="none"
    )
    auth = OAuthClientProvider(url, metadata, Storage(), redirect, callback)
    async with httpx2.AsyncClient(auth=auth, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            write({"connected": client.protocol_version})
            while line := await read():
                call = json.loads(line)
                try:
                    result = await client.call_tool(call["name"], call.get("arguments"))
                    write({"result": result.model_dump(mode="json", by_alias=True)})
                except Exception as error:
                    write({"error": repr(error)})


asyncio.run(main(*sys.argv[1:]))
