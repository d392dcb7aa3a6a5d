"""The marker ``needs_kind``: tests that ask more of the kernel than this machine's may have."""

from __future__ import annotations

import platform

import pytest

from tests.vm.kinds import lacking

_MARKER = (
    'needs_kind(*kinds): needs a kernel that can do these (tests/vm/kinds.py), e.g. needs_kind("ipvlan")'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lacking",
        choices=("skip", "omit", "only", "run"),
        default="skip",
        help="tests of what this kernel lacks: skip them, omit them, collect only them, or run them anyhow",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    choice = config.getoption("--lacking")
    if choice == "run":
        return
    beyond = {item: reason for item in items if (reason := _beyond_this_kernel(item))}
    if choice == "skip":
        for item, reason in beyond.items():
            item.add_marker(pytest.mark.skip(reason=reason))
        return
    within = [item for item in items if item not in beyond]
    kept, left_out = (list(beyond), within) if choice == "only" else (within, list(beyond))
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def _beyond_this_kernel(item: pytest.Item) -> str:
    """Why this kernel can't run the test; empty if it can."""
    kinds = {kind for marker in item.iter_markers("needs_kind") for kind in marker.args}
    try:
        missing = lacking(sorted(kinds))
    except LookupError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from error
    if not missing:
        return ""
    words = ", ".join(f"{kind} ({said})" for kind, said in missing.items())
    return f"kernel {platform.release()} lacks {words}; `make test-vm` runs it in a virtual machine"
