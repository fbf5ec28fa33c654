"""How the processes of a search talk: each trial has a connection to the main process, with requests and answers.

The connection is Python's own (`multiprocessing.connection`), with a random key that travels with the jobs. A
connection that ends before its trial has ended tells that the trial's process is lost.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

# Variables of a search's jobs: HOST:PORT of the main process, and the key.
ADDRESS_VARIABLE = "MNIST_FLOW_SEARCH_ADDRESS"
KEY_VARIABLE = "MNIST_FLOW_SEARCH_KEY"


@dataclass(frozen=True)
class Assignment:
    """What a process is to train: the replicates of one config."""

    trial: int
    # Overrides that the config was composed from, the option of each config group, and the config.
    overrides: tuple[str, ...]
    options: Mapping[str, Any]
    config: Mapping[str, Any]
    # Tags of its runs.
    tags: Mapping[str, str]
    # Metric that each epoch is judged by; None: epochs are not judged.
    epoch_metric: str | None


class TrialServer:
    """Listens for the processes of a search; each connection has a thread.

    Args:
        connect: makes the answerer of a new connection, whose method `answer(request, *arguments)` answers a request,
            and whose method `lose()` hears that the connection has ended.
        everywhere: listen to other machines, too.
    """

    def __init__(self, connect: Any, everywhere: bool) -> None:
        self._connect = connect
        self._key = secrets.token_hex(32)
        self._listener = Listener(("" if everywhere else "127.0.0.1", 0), authkey=self._key.encode())
        self._host = socket.gethostname() if everywhere else "127.0.0.1"
        threading.Thread(target=self._accept, name="search server", daemon=True).start()

    def list_variables(self) -> dict[str, str]:
        """Variables that the jobs find the server by."""
        _, port = self._listener.address
        return {ADDRESS_VARIABLE: f"{self._host}:{port}", KEY_VARIABLE: self._key}

    def close(self) -> None:
        """Take no further connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except (AuthenticationError, EOFError, ConnectionError):
                continue  # A stranger.
            except OSError:
                return  # Closed.
            threading.Thread(target=self._serve, args=[connection], name="search connection", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        answerer = self._connect()
        with connection:
            with suppress(EOFError, OSError):
                while True:
                    connection.send(answerer.answer(*connection.recv()))
            answerer.lose()


def connect_to_search() -> Connection:
    """Connect a job to the main process of its search.

    Raises:
        OSError: the main process is not there.
    """
    host, _, port = os.environ[ADDRESS_VARIABLE].rpartition(":")
    connection = Client((host, int(port)), authkey=os.environ[KEY_VARIABLE].encode())
    with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
        # The first request follows the greeting at once; TCP would keep it until the greeting is acknowledged, 40 ms.
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
