"""The embedded account: an invented shop behind Klaviyo's rules, for trying, testing and teaching.

It needs no key and no network, answers the same numbers today and in a year, and tells its planted stories in
`STORIES`. It knows nothing of the rest of the package but the catalogue of statistics.
"""

from __future__ import annotations

from flowperf_helpers.sandbox.app import SANDBOX_KEY, SANDBOX_NOW, SANDBOX_TOKEN, SandboxApp, sandbox_app
from flowperf_helpers.sandbox.serve import make_sandbox_server, serve
from flowperf_helpers.sandbox.shop import STORIES, VARIANTS, Story

__all__ = [
    "SANDBOX_KEY",
    "SANDBOX_NOW",
    "SANDBOX_TOKEN",
    "STORIES",
    "VARIANTS",
    "SandboxApp",
    "Story",
    "make_sandbox_server",
    "sandbox_app",
    "serve",
]
