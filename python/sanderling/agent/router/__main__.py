"""`python -m sanderling.agent.router --state FOLDER --port PORT`."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from sanderling.agent.router.http1 import Limits
from sanderling.agent.router.process import Router


def main() -> None:
    """Runs a router until SIGTERM."""
    defaults = Limits()
    parser = argparse.ArgumentParser(prog="sanderling.agent.router", description="Passes inference to runners.")
    parser.add_argument("--state", required=True, type=Path, help="folder of routes.json")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", default=0, type=int, help="0: a free one, see router.json")
    parser.add_argument("--body-bytes", default=defaults.body_bytes, type=int, help="largest body of a request")
    parser.add_argument("--concurrent", default=256, type=int, help="most requests under way at once")
    parser.add_argument("--slow-s", default=defaults.slow_s, type=float, help="how long a client may be silent")
    given = parser.parse_args()
    logging.basicConfig(format="%(name)s %(levelname)s: %(message)s")
    limits = Limits(body_bytes=given.body_bytes, slow_s=given.slow_s)
    router = Router(given.state, host=given.host, port=given.port, limits=limits, concurrent=given.concurrent)
    asyncio.run(router.run())


if __name__ == "__main__":
    main()
