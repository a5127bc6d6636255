#!/usr/bin/env bash
# Runs Bazel on this repository with the environment in .venv and without any download:
#   bash tests/bazel/run.sh test //:fast
# Debian's bazel-bootstrap cannot fetch the rules that Bazel's own files load, so this script writes
# small local repositories in their place. The interpreter and the packages are those of .venv. A Bazel that reads
# MODULE.bazel and reaches the Bazel registry needs none of this (docs/decisions/0005).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! type -P bazel >/dev/null; then
  printf 'Bazel is not installed.\n  to do: apt-get install bazel-bootstrap (Debian 12 has 4.2.3), then run the same command again\n' >&2
  exit 1
fi

readonly repositories=$PWD/build/bazel
rm -rf "$repositories"

# repository NAME FOLDER/FILE: writes a local repository with one file, read from standard input.
repository() {
  mkdir -p "$repositories/$1/$(dirname "$2")"
  touch "$repositories/$1/WORKSPACE" "$repositories/$1/BUILD" "$repositories/$1/$(dirname "$2")/BUILD"
  cat >"$repositories/$1/$2"
}

# natives NAME…: rules that Bazel 4 has built in.
natives() { printf '%s = native.%s\n' $(for rule; do echo "$rule $rule"; done); }

natives cc_binary cc_import cc_library cc_proto_library cc_test cc_toolchain cc_toolchain_suite objc_library |
  repository rules_cc cc/defs.bzl
natives java_binary java_import java_library java_proto_library java_runtime java_toolchain |
  repository rules_java java/defs.bzl
{ natives proto_library proto_lang_toolchain; echo 'ProtoInfo = None'; } | repository rules_proto proto/defs.bzl
echo 'filegroup(name = "coverage_report_generator", visibility = ["//visibility:public"])' |
  repository remote_coverage_tools BUILD
{ natives py_library py_test
  printf 'def py_runtime_pair(name, **kwargs):\n    native.filegroup(name = name)\n'
} | repository rules_python python/defs.bzl
# Every locked package is an empty library: the code comes from .venv.
sed -nE 's|^([a-z0-9._-]+)==.*|py_library(name = "\1", visibility = ["//visibility:public"])|p' requirements.lock |
  sort -u | repository pypi BUILD
printf 'def requirement(name):\n    return "@pypi//:" + name\n' | repository pypi requirements.bzl
# @collect//:models and the like: one process that collects all tests below a folder of tests/.
{ echo 'load("@rules_python//python:defs.bzl", "py_test")'
  for folder in . models components pipeline; do
    if [[ $folder == . ]]; then name=top depth=1; else name=$folder depth=9; fi
    files=$(find "tests/$folder" -maxdepth $depth -name '*_test.py' -printf '%P\n' | sort)
    printf 'py_test(name = "%s", main = "@//tests/bazel:pytest_main.py", testonly = True,\n' "$name"
    printf '  srcs = ["@//tests/bazel:pytest_main.py"], deps = [\n'
    printf '%s\n' "$files" | sed -E "s|^(.*/)?([^/]+)\.py$|    \"@//tests/$folder/\1:\2\",|; s|/\./|/|; s|/+:|:|"
    printf '  ], args = [\n'
    printf '%s\n' "$files" | sed -E "s|.*|    \"tests/$folder/&\",|; s|/\./|/|"
    printf '  ])\n'
  done
} | repository collect BUILD

command=$1
shift
exec bazel --batch "$command" \
  $(for name in "$repositories"/*; do echo "--override_repository=${name##*/}=$name"; done) \
  --noincompatible_use_python_toolchains --python_path="$PWD/.venv/bin/python" \
  --jobs=2 --local_test_jobs=2 --test_output=errors --noshow_progress \
  --test_env=POLYSEME_DATA --test_env=HOME=/tmp --test_env=TF_CPP_MIN_LOG_LEVEL=2 "$@"
