#!/bin/sh
# Makes .venv/ in the project root if it is missing and installs the project with the named extras into it.
# Usage: scripts/venv.sh EXTRAS     e.g. scripts/venv.sh test,docs
set -eu
cd "$(dirname "$0")/.."
extras=$1
venv=.venv
venv_python=$venv/bin/python

fail() {
    echo "gathering: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer was found: install one, or name it with  make PYTHON=/path/to/python3 ..."
}

make_venv() {
    python=$(find_python)
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        "$python" -m venv "$venv"
    elif command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$python" "$venv"
    else
        fail "$python cannot make an environment (it has no ensurepip): run  apt install python3-venv"
    fi
}

install() {
    if "$venv_python" -m pip --version >/dev/null 2>&1; then
        "$venv_python" -m pip install -qq --disable-pip-version-check --editable ".[$extras]"
    elif command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python "$venv_python" --editable ".[$extras]"
    else
        "$venv_python" -m ensurepip >/dev/null 2>&1 ||
            fail "$venv has neither pip nor uv: remove it (rm -r $venv) and run make again"
        "$venv_python" -m pip install -qq --disable-pip-version-check --editable ".[$extras]"
    fi
}

if [ ! -x "$venv_python" ]; then
    echo "gathering: making $venv/ and installing the project with its [$extras] extras (a few minutes, about 1 GB)"
    make_venv
else
    echo "gathering: bringing $venv/ up to date with pyproject.toml [$extras]"
fi
install
