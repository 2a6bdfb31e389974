"""The embedded account: an invented shop behind Klaviyo's rules, for trying, testing and teaching.

It needs no key and no network, answers the same numbers today and in a year, and tells its planted stories in
`STORIES`; what it holds, and what happens to it, stands in ``shop.toml``. It knows nothing of the rest of the package
but the catalogue of statistics; of the rest, only `flowperf_helpers.account.connection` opens it, and the commands that
serve it.
"""

from __future__ import annotations

from flowperf_helpers.sandbox.app import SandboxApp, make_sandbox_server, sandbox_app, serve
from flowperf_helpers.sandbox.shop import SANDBOX_KEY, SANDBOX_NOW, SANDBOX_TOKEN, SHOP, STORIES, VARIANTS, Story

__all__ = [
    "SANDBOX_KEY",
    "SANDBOX_NOW",
    "SANDBOX_TOKEN",
    "SHOP",
    "STORIES",
    "VARIANTS",
    "SandboxApp",
    "Story",
    "make_sandbox_server",
    "sandbox_app",
    "serve",
]
