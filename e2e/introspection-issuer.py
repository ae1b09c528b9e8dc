"""A second issuer of opaque tokens: Authlib on Flask, with introspection (RFC 7662) and revocation (RFC 7009).

It prints its URL. Its answers have `aud` as a list, `username`, and neither `iss` nor `jti`. It does not form-decode the
credentials in the header, as many servers do.
"""

import os
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Flask
from werkzeug.serving import make_server

METHODS = ["client_secret_basic", "client_secret_post"]
AUDIENCES = {"web-app": ["https://api.example.test", "another"], "other-app": ["another"]}


class Client(ClientMixin):
    def __init__(self, client_id, secret):
        self.client_id, self.secret = client_id, secret

    def get_client_id(self):
        return self.client_id

    def check_client_secret(self, client_secret):
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method in METHODS

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope):
        return scope


class Token(TokenMixin):
    def __init__(self, client, token):
        self.client_id, self.scope = client.client_id, token.get("scope", "")
        self.text, self.revoked = token["access_token"], False
        self.issued_at = int(time.time())
        self.expires_at = self.issued_at + token["expires_in"]

    def check_client(self, client):
        return self.client_id == client.client_id

    def is_expired(self):
        return time.time() >= self.expires_at

    def is_revoked(self):
        return self.revoked


CLIENTS = {name: Client(name, f"secret-of-{name}") for name in ("api", *AUDIENCES)}
TOKENS = {}


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS


class Introspection(IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string, token_type_hint):
        return TOKENS.get(token_string)

    def check_permission(self, token, client, request):
        return client.client_id == "api"

    def introspect_token(self, token):
        return {
            "active": True,
            "client_id": token.client_id,
            "username": "ann",
            "sub": "ann",
            "scope": token.scope,
            "aud": AUDIENCES[token.client_id],
            "token_type": "Bearer",
            "exp": token.expires_at,
            "iat": token.issued_at,
        }


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string, token_type_hint):
        return TOKENS.get(token_string)

    def revoke_token(self, token, request):
        token.revoked = True


def save_token(token, request):
    TOKENS[token["access_token"]] = Token(request.client, token)


app = Flask(__name__)
issuer = AuthorizationServer(app, query_client=CLIENTS.get, save_token=save_token)
issuer.register_grant(ClientCredentials)
issuer.register_endpoint(Introspection)
issuer.register_endpoint(Revocation)


@app.post("/token")
def token():
    return issuer.create_token_response()


@app.post("/introspect")
def introspect():
    return issuer.create_endpoint_response(Introspection.ENDPOINT_NAME)


@app.post("/revoke")
def revoke():
    return issuer.create_endpoint_response(Revocation.ENDPOINT_NAME)


if __name__ == "__main__":
    # The issuer listens on loopback, without TLS.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
