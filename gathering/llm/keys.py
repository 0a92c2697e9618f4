"""Keys of services: where they come from, and that they are never shown.

A key is found in the provider's configuration, in the environment, in the system's keyring (if the package
``keyring`` is installed), among the secrets of a Colab notebook, or asked for when a person is there to answer.
Owns no header and no request.
"""

from __future__ import annotations

import functools
import importlib
import ipaddress
import os
import re
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

from gathering.core.errors import AuthenticationError, ConfigurationError
from gathering.core.masking import keep_secret
from gathering.core.session import under_test

__all__ = [
    "Secret",
    "carries_key",
    "find_key",
    "is_loopback",
    "key_hint",
    "shown_url",
    "source_of_key",
]

#: The service name under which the keyring keeps keys; the user name is the variable's name.
KEYRING_SERVICE = "gathering"
#: The second variable in which some people keep a key, read where the first one is empty.
_ALSO_IN = {"GEMINI_API_KEY": "GOOGLE_API_KEY"}

#: Keys of the keyring, of Colab and of a person, by variable, for the life of the process, and whence they came.
_found: dict[str, Secret] = {}
_sources: dict[str, str] = {}


class Secret:
    """A text that no repr, format, JSON or pickle gives away; ``reveal()`` is the one way to it.

    >>> key = Secret("sk-12345678")
    >>> key, f"{key}", key.reveal()
    (Secret('...'), '...', 'sk-12345678')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        text = value.reveal() if isinstance(value, Secret) else str(value).strip()
        if not text.isascii() or not text.isprintable():
            raise ConfigurationError(
                "the key has characters no HTTP header can carry: copy it again, without line breaks or quotes"
            )
        keep_secret(text)
        self._value = text

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __bool__(self) -> bool:
        """Whether there is a text at all."""
        return bool(self._value)

    def __repr__(self) -> str:
        """Nothing of the text."""
        return "Secret('...')"

    def __str__(self) -> str:
        """Nothing of the text."""
        return "..."

    def __deepcopy__(self, memo: Any) -> Secret:
        """Itself: a copy in this process keeps the text."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without the text: whoever unpickles it finds the key anew."""
        return Secret, ("",)


def find_key(variable: str, given: Secret | None, *, provider: str, needed: bool, ask: bool) -> Secret | None:
    """The key; None if there is none, unless it is ``needed`` and a person may be asked (``ask``).

    Raises ``AuthenticationError`` that names the variable when the person is not there or does not know.
    """
    if given:
        return given
    key = _from_environment(variable) or _found.get(variable)
    if key is None and needed:
        key = _from_keyring(variable) or _from_colab(variable) or (_ask(variable, provider) if ask else None)
    if key is not None or not (needed and ask):
        return key
    raise AuthenticationError(
        f"no key for {provider}: {key_hint(variable)}, or use a model that needs none (local)",
        provider=provider,
    )


def source_of_key(variable: str, given: Secret | None, *, needed: bool) -> str | None:
    """Where ``find_key`` takes the key from, never the key itself; None where it finds none. Nobody is asked."""
    if given:
        return "api_key"
    if _from_environment(variable):
        return next(v for v in (variable, _ALSO_IN.get(variable, "")) if os.environ.get(v, "").strip())
    if find_key(variable, None, provider="", needed=needed, ask=False) is None:
        return None
    return _sources.get(variable, "typed in")


def key_hint(variable: str) -> str:
    """What a person does to give the key."""
    return f"set the environment variable {variable}" if variable else "give api_key=..."


def carries_key(header: str) -> bool:
    """Whether a header of this name may hold a key.

    >>> carries_key("x-api-key"), carries_key("x-title")
    (True, False)
    """
    return re.search("auth|key|token|cookie|secret", header, re.IGNORECASE) is not None


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether the host is this very machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def shown_url(url: str) -> str:
    """The address as it may be shown: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _from_environment(variable: str) -> Secret | None:
    value = os.environ.get(variable, "").strip() if variable else ""
    if not value and variable in _ALSO_IN:
        return _from_environment(_ALSO_IN[variable])
    return Secret(value) if value else None


def _from_keyring(variable: str) -> Secret | None:
    if not variable or under_test():
        return None
    try:
        import keyring
    except ImportError:
        return None
    try:
        value = keyring.get_password(KEYRING_SERVICE, variable)
    except Exception:  # noqa: BLE001 - a keyring that is locked or has no backend is as good as none
        return None
    return _keep(variable, value, "keyring") if value else None


def _from_colab(variable: str) -> Secret | None:
    """The secret of this name in a Colab notebook that was given access to it."""
    if not variable or under_test():
        return None
    try:
        userdata: Any = importlib.import_module("google.colab.userdata")
    except ImportError:
        return None
    try:
        value = userdata.get(variable)
    except Exception:  # noqa: BLE001 - no such secret, or no access to it: each an error of Colab's own
        return None
    return _keep(variable, str(value), "Colab secret") if value else None


def _keep(variable: str, value: str, source: str) -> Secret:
    _sources.setdefault(variable, source)
    return _found.setdefault(variable, Secret(value))


def _ask(variable: str, provider: str) -> Secret | None:
    if not _person_is_there():
        return None
    import getpass

    try:
        value = getpass.getpass(f"Key for {provider} ({variable or 'api_key'}), not shown and not stored: ")
    except (EOFError, OSError, RuntimeError):  # a front end without an input box raises its own RuntimeError
        return None
    if not value.strip():
        return None
    return _keep(variable, value, "typed in")


def _person_is_there() -> bool:
    """Whether a question would reach somebody: a terminal, or a kernel whose front end takes input."""
    if under_test() or threading.current_thread() is not threading.main_thread():
        return False
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return bool(sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty())
