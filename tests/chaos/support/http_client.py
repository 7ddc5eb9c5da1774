"""Requests to nodes from an address of the clients' own, which no cut between nodes concerns."""
import http.client
import json


class Unreachable(Exception):
    """No answer: what became of the request is not known."""


class Client:
    """One connection to each node, kept. For one thread."""

    def __init__(self, token, source=None, timeout=4.0):
        self.token, self.source, self.timeout = token, source, timeout
        self.connections = {}

    def request(self, address, method, path, body=None, headers=None, timeout=None):
        """(status, headers, body). Raises Unreachable."""
        connection = self.connections.pop(address, None)
        fresh = connection is None
        if fresh:
            connection = http.client.HTTPConnection(address, timeout=timeout or self.timeout, source_address=(self.source, 0) if self.source else None)
        elif connection.sock is not None:
            connection.sock.settimeout(timeout or self.timeout)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.token}", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as failed:
            connection.close()
            raise Unreachable(f"{type(failed).__name__}: {failed}") from None
        self.connections[address] = connection
        return answer.status, answer.headers, text

    def json(self, address, method, path, body=None, timeout=None):
        """(status, parsed body)"""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        status, _, text = self.request(address, method, path, body, {"Content-Type": "application/json"}, timeout)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode(errors="replace")

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()
