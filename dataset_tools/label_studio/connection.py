"""Label Studio client, with its errors converted to messages. The only module that imports the SDK.

Error texts of the SDK contain response headers, including the session cookie, so only status and body are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from dataset_tools.core.errors import InputError, StoppedError, ToolkitError
from dataset_tools.core.extras import install_command

TIMEOUT_S = 600.0
_FIRST_ANSWER_TIMEOUT_S = 30.0
_HERE = "127.0.0.1"
_LOOPBACK = ("localhost", "0.0.0.0", "::1")


def server_name(url: str) -> str:
    """Normalizes the address of a server: no trailing slash, lowercase host, 127.0.0.1 for this machine.

    Raises:
        InputError: it is not an http(s) address, or has a password, which would be sent instead of the API key.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.username is not None or parts.password is not None:
        raise InputError(
            f"The address contains a user name or a password: {without_password(url)}",
            where="LABEL_STUDIO_URL",
            expected="an address such as http://127.0.0.1:8080, and a token in LABEL_STUDIO_API_KEY",
            next_step="remove everything up to the @ from it",
        )
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(
            f"This is not the address of a server: {without_password(url)!r}",
            where="LABEL_STUDIO_URL",
            expected="an address such as http://127.0.0.1:8080",
            next_step="set LABEL_STUDIO_URL to the address that the browser shows for Label Studio",
        )
    host = _HERE if host in _LOOPBACK else host
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def without_password(url: str) -> str:
    """Returns the address for messages, with everything before an @ removed."""
    return re.sub(r"[^/\s]*@", "…@", url)


@contextmanager
def connect(url: str, api_key: str) -> Iterator[Any]:
    """Yields a ``label_studio_sdk.LabelStudio`` client, after checking the server and the key.

    Args:
        url: address of the server.
        api_key: a legacy token or a personal access token.

    Raises:
        InputError: the address or the key is wrong, the server is not Label Studio, or the SDK is not installed.
        StoppedError: the server does not respond.
    """
    is_here = urlsplit(server_name(url)).hostname == _HERE
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise InputError(
            "There is no API key" if not key else "The API key contains invalid characters",
            where="LABEL_STUDIO_API_KEY",
            expected="the token that Label Studio shows under Account & Settings",
            next_step="set LABEL_STUDIO_API_KEY to it",
        )
    require_sdk()
    import httpx
    from label_studio_sdk import LabelStudio

    # A proxy of the environment cannot reach this machine, and would see the key.
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, trust_env=not is_here) as connections:
        with answers(url):
            client: Any = LabelStudio(  # type: ignore[no-untyped-call]
                base_url=url.strip().rstrip("/"), api_key=key, timeout=TIMEOUT_S, httpx_client=connections
            )
            try:
                user = client.users.whoami(request_options={"timeout": _FIRST_ANSWER_TIMEOUT_S})
            except TypeError:  # the SDK builds its objects from any JSON without validation
                user = None
            if not isinstance(getattr(user, "id", None), int):
                raise _another_server(url)
        yield client


def require_sdk() -> None:
    """Raises an InputError if the SDK, an optional dependency, is not installed."""
    try:
        import label_studio_sdk  # noqa: F401
    except ImportError as error:
        raise InputError(
            "The Label Studio SDK is not installed",
            where=f"import of {error.name}",
            expected="the extra `review`",
            next_step=install_command("review"),
        ) from error


@contextmanager
def answers(url: str, *, missing: ToolkitError | None = None) -> Iterator[None]:
    """Converts exceptions of the SDK into the toolkit's errors.

    Args:
        url: address of the server, for the message.
        missing: the error to raise if the requested object does not exist (404).
    """
    import httpx
    from label_studio_sdk.core.api_error import ApiError
    from label_studio_sdk.core.parse_error import ParsingError

    try:
        yield
    except ParsingError as error:
        raise _another_server(url) from error
    except ApiError as error:
        raise _refusal(url, error.status_code, error.body, missing) from error
    except httpx.TimeoutException as error:
        raise StoppedError(
            "The server did not respond in time",
            where=url,
            next_step="wait until it is less busy, then run the same command again to resume",
        ) from error
    except httpx.HTTPError as error:
        raise StoppedError(
            f"The server cannot be reached ({type(error).__name__})",
            where=url,
            expected="a running Label Studio",
            next_step="start it (fmn-data annotate serve) or check LABEL_STUDIO_URL, then run the same command again",
        ) from error


def list_tasks(client: Any, **query: Any) -> Iterator[Any]:
    """Yields the tasks of a query, page by page.

    Where one page has all of them, the SDK would request another, which takes the server as long before it is a 404.
    """
    pages = client.tasks.list(**query)
    is_all = len(pages.items or ()) == getattr(pages.response, "total", None)
    yield from pages.items or () if is_all else pages


def is_forbidden(error: Exception) -> bool:
    """Whether the server denied permission to the account (403)."""
    from label_studio_sdk.core.api_error import ApiError

    return isinstance(error, ApiError) and error.status_code == 403


def parsed_page(config: str) -> Any:
    """Parses a labeling configuration with the SDK (``LabelInterface``), for validating tasks and predictions."""
    from label_studio_sdk.label_interface.interface import LabelInterface

    return LabelInterface(config)


def body_text(body: object) -> str:
    """Returns the human-readable part of a response body, on one line."""
    if isinstance(body, dict):
        message = body.get("validation_errors") or body.get("detail") or body
        if isinstance(message, dict):
            message = "; ".join(
                " ".join(map(str, value)) if isinstance(value, list) else str(value) for value in message.values()
            )
        return " ".join(str(message).split())[:600]
    return " ".join(str(body).split())[:200]


def _refusal(url: str, status: int | None, body: object, missing: ToolkitError | None) -> ToolkitError:
    if status in (401, 403):
        return InputError(
            f"The server rejected the API key ({status}): {body_text(body)}",
            where=url,
            expected="a valid key of an account that may change projects",
            next_step="set LABEL_STUDIO_API_KEY to the token that Label Studio shows under Account & Settings",
        )
    if status is not None and status >= 500:
        return StoppedError(
            f"The server failed ({status})",
            where=url,
            next_step="check its log; once it is running again, run the same command to resume",
        )
    # A web page instead of JSON: the SDK raises an error for it even with status 200.
    if not isinstance(body, dict | list):
        return _another_server(url)
    if status == 404 and missing is not None:
        return missing
    return InputError(
        f"The server rejected the request ({status}): {body_text(body)}",
        where=url,
        next_step="correct what it reports, then run the same command again",
    )


def _another_server(url: str) -> InputError:
    return InputError(
        "The server at this address is not Label Studio",
        where=url,
        expected="the address that the browser shows for Label Studio, without a path",
        next_step="set LABEL_STUDIO_URL to it",
    )
