"""Proxies and certificates that the environment names, for httpx."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from zsprompt.errors import ZspromptError


@contextmanager
def usable_environment(failure: type[ZspromptError]) -> Iterator[None]:
    """Create an httpx client within it. A proxy or certificates that httpx cannot use become a `failure`."""
    try:
        yield
    except ImportError:
        raise failure(
            "expected an http proxy in ALL_PROXY, HTTPS_PROXY and HTTP_PROXY, found a SOCKS proxy; "
            "install socksio for it, or unset the variable"
        ) from None
    except (ValueError, httpx.InvalidURL) as error:
        raise failure(
            f"expected http proxies in ALL_PROXY, HTTPS_PROXY and HTTP_PROXY, found one that cannot be used ({error}); "
            "correct or unset it"
        ) from None
    except (OSError, ssl.SSLError) as error:
        raise failure(
            "expected certificates in SSL_CERT_FILE or SSL_CERT_DIR, found none that can be read "
            f"({error.strerror or error}); correct or unset it"
        ) from None
