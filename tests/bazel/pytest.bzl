"""The rule of one pytest file."""

load("@pypi//:requirements.bzl", "requirement")
load("@rules_python//python:defs.bzl", "py_test")

def pytest_test(name, deps, data = [], tags = [], size = "medium"):
    """A py_test that runs pytest on the file NAME.py, without its end-to-end tests.

    Args:
        name: the file's name without .py.
        deps: the libraries that it imports.
        data: files that it reads.
        tags: "e2e" for a file with only end-to-end tests, which the suite `fast` leaves out.
        size: Bazel's time limit: small 1 minute, medium 5, large 15.
    """
    file = name + ".py"
    py_test(
        name = name,
        srcs = [file, "//tests/bazel:pytest_main.py"],
        main = "//tests/bazel:pytest_main.py",
        args = ["$(rootpath %s)" % file],
        data = data,
        deps = deps + [requirement("pytest")],
        imports = ["."] if native.package_name() == "" else [],
        size = size,
        tags = tags,
        visibility = ["//visibility:public"],  # run.sh makes a target that depends on all tests
    )
