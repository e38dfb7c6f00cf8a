"""Whether the port is free, asked before anything is started."""

from __future__ import annotations

import socket
import time

from billing.common.embedded.process import EmbeddedError
from billing.common.settings import Settings


def await_port(settings: Settings, patience_s: float) -> None:
    """Raises EmbeddedError when the port is still taken after `patience_s`."""
    end = time.monotonic() + patience_s
    while not _is_free(settings.host, settings.port):
        if time.monotonic() >= end:
            raise EmbeddedError(
                f"{settings.host}:{settings.port} is in use by another program. Choose another "
                "port, for example BONUS_PORT=8081."
            )
        time.sleep(0.2)


def _is_free(host: str, port: int) -> bool:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except PermissionError as error:
        raise EmbeddedError(
            f"This user may not listen on port {port}; ports from 1024 up are free to all, for "
            "example BONUS_PORT=8080."
        ) from error
    except socket.gaierror as error:
        raise EmbeddedError(
            f"BONUS_HOST={host} is not an address of this machine; for example "
            "BONUS_HOST=127.0.0.1."
        ) from error
    except OSError:
        return False
    return True
