#!/usr/bin/env bash
# Creates .venv from requirements.lock. It chooses an installed Python and prints why, and checks what
# the installation needs before it starts. If something is missing, it stops with one error and its
# remedy. It never downloads a Python, and does nothing if nothing has changed since the last time.
#
#   bash setup.sh                                         every make target runs this first
#   POLYSEME_PYTHON=/path/to/python3.10 bash setup.sh     uses this Python
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly venv=.venv stamp=.venv/polyseme-stamp
readonly modern="3.13 3.12 3.11" compatible="3.10"
# The wheel for Linux on x86_64; `uv pip compile --generate-hashes` prints the hashes of another version.
readonly uv_pinned="uv==0.13.9 --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19"
unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV CONDA_PREFIX
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1

say() { printf 'set-up: %s\n' "$*" >&2; }

# fail WHAT REMEDY…: prints an error, with a line for each REMEDY, and exits.
fail() {
  printf '\nset-up failed: %s\n' "$1" >&2
  shift
  printf '  to do: %s\n' "$@" >&2
  exit 1
}

on_debian() { grep -qsE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release; }

# install_hint DEBIAN-PACKAGES WORDS: prints how to install something on this system.
install_hint() {
  if on_debian; then echo "apt-get install $1"; else echo "install $2 with your system's packages"; fi
}

# What .venv depends on, as one hash.
fingerprint() {
  { cat requirements.lock pyproject.toml requirements.txt setup.sh
    echo "${POLYSEME_PYTHON-} $PWD"
  } | sha256sum | cut -d' ' -f1
}

# probe PYTHON: prints "VERSION|PATH|INCLUDE" of a CPython that runs here, nothing for other files.
probe() {
  "$1" -I -c '
import platform, sys, sysconfig
if platform.python_implementation() == "CPython" and sys.maxsize > 2**32 and "t" not in sys.abiflags:
    path = sys.executable
    if sys.prefix != sys.base_prefix:  # in a virtual environment: the Python that it was made from
        path = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    include = sysconfig.get_path("include", vars={"installed_base": sys.base_prefix})
    print(platform.python_version(), path, include, sep="|")
' 2>/dev/null || true
}

# candidates MINOR: prints the files that may be this Python, one a line, in order of preference.
candidates() {
  local minor=$1 name
  for name in "python$minor" python3 python; do type -aP "$name" || true; done
  ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$minor".*/bin/"python$minor" \
    "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}/cpython-$minor".*/bin/"python$minor" \
    /usr/bin/"python$minor" /usr/local/bin/"python$minor" 2>/dev/null | sort -rV || true
}

find_uv() {
  local file
  for file in "$venv/bin/uv" "$(type -P uv || true)"; do
    if [[ -n $file ]] && "$file" --version >/dev/null 2>&1; then echo "$file"; return; fi
  done
}

# lacks PYTHON INCLUDE: prints what a Python lacks to create the environment, nothing if it has all.
lacks() {
  if [[ ! -f $2/Python.h ]]; then echo headers
  elif [[ -z $(find_uv) ]] && ! "$1" -I -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null; then echo venv
  fi
}

# choose_python: sets python, version and include; fails if no Python is suitable.
choose_python() {
  local glibc minor file found missing first="" why wanted=$compatible
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2 || true)
  [[ $(uname -sm) == "Linux x86_64" ]] || fail "TFX has packages for Linux on x86_64 only; this is $(uname -sm)." \
    "use a Linux x86_64 machine or container, such as Debian 12 or 13"
  [[ -n $glibc ]] || fail "this system's C library is not glibc, and TFX has no packages for another." \
    "use a distribution with glibc, such as Debian 12 or 13"

  why="glibc $glibc is older than 2.39, which ML Metadata needs on newer Pythons"
  if printf '2.39\n%s\n' "$glibc" | sort -VC; then
    wanted="$modern $compatible"
    why="the newest installed version that the stack supports; glibc $glibc is 2.39 or newer"
  fi
  if [[ -n ${POLYSEME_PYTHON-} ]]; then
    found=$(probe "$POLYSEME_PYTHON")
    [[ -n $found ]] || fail "POLYSEME_PYTHON=$POLYSEME_PYTHON is not a CPython that runs here." \
      "give the path of a Python ${wanted// /, }, or unset POLYSEME_PYTHON"
    minor=$(cut -d. -f1,2 <<<"$found")
    [[ " $wanted " == *" $minor "* ]] || fail \
      "POLYSEME_PYTHON is Python $minor; with glibc $glibc the stack needs one of: ${wanted// /, }." \
      "give another, or unset POLYSEME_PYTHON"
    wanted=$minor why="chosen by POLYSEME_PYTHON"
  fi

  for minor in $wanted; do
    while read -r file; do
      found=$(probe "$file")
      [[ $found == "$minor".* ]] || continue
      IFS='|' read -r version python include <<<"$found"
      missing=$(lacks "$python" "$include")
      if [[ -z $missing ]]; then
        say "Python $version ($python): $why."
        return
      fi
      first=${first:-"$missing|$minor|$python|$include"}
    done < <(if [[ -n ${POLYSEME_PYTHON-} ]]; then echo "$POLYSEME_PYTHON"; else candidates "$minor"; fi)
  done

  IFS='|' read -r missing minor python include <<<"$first"
  case $missing in
    headers) fail "$python has no headers ($include/Python.h); pyfarmhash is compiled and needs them." \
      "$(install_hint "python$minor-dev" "Python $minor's development headers"), then run the same command again" ;;
    venv) fail "$python cannot make virtual environments (no ensurepip), and uv is not on PATH." \
      "$(install_hint "python$minor-venv" "Python $minor's venv module") or pip install uv, then run the same command again" ;;
  esac
  if [[ $wanted == "$compatible" ]]; then
    fail "no Python 3.10 found; with glibc $glibc (older than 2.39) the stack runs on no other." \
      "uv python install 3.10   or   pyenv install 3.10, then run the same command again" \
      "or use a system with glibc 2.39 or newer (Debian 13, Ubuntu 24.04) and its own Python"
  fi
  fail "no Python 3.13, 3.12, 3.11 or 3.10 found on PATH, among pyenv's versions or uv's." \
    "$(install_hint "python3 python3-dev python3-venv" "Python 3.13 with headers"), then run the same command again"
}

# check_compiler: compiles a small Python extension, as pyfarmhash's build does.
check_compiler() {
  local compiler=${CXX:-}
  [[ -n $compiler ]] || for compiler in c++ g++ clang++ ""; do type -P "$compiler" >/dev/null && break; done
  [[ -n $compiler ]] || fail "no C++ compiler found (c++, g++, clang++); pyfarmhash comes as source." \
    "$(install_hint g++ "a C++ compiler"), then run the same command again"
  printf '#include <string>\n#include <Python.h>\n' |
    $compiler -x c++ -fsyntax-only -I"$include" - 2>"$log" || fail \
    "the C++ compiler ($compiler) cannot compile a Python extension: $(head -1 "$log")" \
    "$(install_hint "g++ libc6-dev" "a complete C++ compiler"), then run the same command again"
}

# attempt WHAT COMMAND…: runs a command without showing its list of packages and its retries; explains a failure.
attempt() {
  local what=$1
  shift
  if "$@" 2> >(tee "$log" | grep -vE '^ [+~-] |WARNING: Retrying' >&2 || true); then return; fi
  wait # until tee has written everything
  if grep -qiE 'dns error|name resolution|getaddrinfo|connect|connection|timed out|error sending request|network is unreachable|NewConnectionError' "$log"; then
    fail "$what: the package index could not be reached." \
      "check the network, and a proxy's or a mirror's settings (HTTPS_PROXY, UV_DEFAULT_INDEX, PIP_INDEX_URL, SSL_CERT_FILE)" \
      "then run the same command again: what was downloaded is kept"
  fi
  if grep -qiE 'no space left|disk quota' "$log"; then
    fail "$what: the disk is full." "free some space (the environment takes about 4 GB, downloads 1 GB)" \
      "then run the same command again: it continues from where it stopped"
  fi
  fail "$what failed; its messages are above." "run the same command again; it continues from where it stopped"
}

# make_venv: creates .venv with the chosen Python; keeps one that works.
make_venv() {
  local uv present
  present=$("$venv/bin/python" -I -c 'import platform; print(platform.python_version())' 2>/dev/null || true)
  if [[ $present == "$version" ]] &&
    { [[ -n $(find_uv) ]] || "$venv/bin/python" -I -m pip --version >/dev/null 2>&1; }; then
    return
  fi
  rm -rf "$venv"
  uv=$(find_uv)
  if [[ -n $uv ]]; then
    attempt "making $venv" "$uv" venv --quiet --python "$python" "$venv"
  else
    attempt "making $venv" "$python" -m venv "$venv"
  fi
}

if [[ -f $stamp && $(<"$stamp") == "$(fingerprint)" ]] && "$venv/bin/python" -c '' 2>/dev/null; then
  exit 0
fi
exec 9<setup.sh
flock 9 # one set-up at a time; a second one waits here and then finds nothing left to do
if [[ -f $stamp && $(<"$stamp") == "$(fingerprint)" ]]; then exit 0; fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
choose_python
check_compiler
make_venv
rm -f "$stamp"
uv=$(find_uv)
if [[ -z $uv ]]; then
  attempt "installing uv" "$venv/bin/python" -m pip install --quiet --retries 2 --disable-pip-version-check \
    --no-deps --only-binary :all: --require-hashes --requirement /dev/stdin <<<"$uv_pinned"
  uv=$venv/bin/uv
fi
say "installing from requirements.lock and compiling bytecode (the first time takes minutes) …"
attempt "installing packages" "$uv" pip sync --python "$venv/bin/python" --require-hashes --compile-bytecode requirements.lock
attempt "installing polyseme" "$uv" pip install --python "$venv/bin/python" --quiet --no-deps --no-build-isolation --editable .
fingerprint >"$stamp"
say "ready: $venv with Python $version."
