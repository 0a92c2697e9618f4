"""The child process in which llama.cpp runs, so that it can neither hang nor crash the notebook's kernel.

It is started as a script by ``gathering.llm.local_process`` and imports nothing of the package. The parent writes
one JSON line on its standard input (the model's path, the token, the figures); it answers one JSON line
``{"url", "pid"}`` or ``{"error"}`` and then serves HTTP on loopback until the parent closes the pipe, dies or
terminates it. It owns no behaviour of the model: that is asked for by HTTP.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

__all__ = ["main"]

#: How often the parent's life is looked at, in seconds.
WATCH = 0.5
#: Prompts kept for reuse, in MiB; llama.cpp's own default is 8 GiB.
PROMPT_CACHE = 64


def main() -> None:
    """Serve the model described on standard input until the parent goes away."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Stop in a notebook means the request, not the server
    wanted = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_at_end_of_input, daemon=True).start()
    threading.Thread(target=_leave_without_parent, args=(parent,), daemon=True).start()
    try:
        server = _serve(wanted, verbosity=-1)
    except Exception as err:  # noqa: BLE001 - whatever it is, the parent must be told in one line
        _why_in_the_log(wanted)
        _say({"error": str(err) or type(err).__name__})
        os._exit(1)
    _say({"url": server.listening_address, "pid": os.getpid()})
    threading.Event().wait()


def _serve(wanted: dict[str, Any], *, verbosity: int) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = wanted["path"]
    params.model_alias = {wanted["model"]}  # else answers carry the file's full path
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.api_keys = [wanted["token"]]  # any user of the machine can reach loopback
    params.cors_origins, params.ui = "", False
    params.n_ctx = wanted["context"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    params.cache_ram_mib = PROMPT_CACHE
    params.warmup = False
    params.verbosity = verbosity
    return xllamacpp.Server(params)


def _why_in_the_log(wanted: dict[str, Any]) -> None:
    # llama.cpp says why a file cannot be loaded in its log alone: load it again with the log on.
    try:
        _serve(wanted, verbosity=1)
    except Exception:  # noqa: BLE001 - the log on standard error is what was wanted
        return


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _leave_at_end_of_input() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


def _leave_without_parent(parent: int) -> None:
    # The end of input alone is not enough: a process forked from the parent may hold the pipe open.
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(0)


if __name__ == "__main__":
    main()
