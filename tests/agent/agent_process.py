"""An agent that looks more often than a deployed one, so that tests are short: a program."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from sanderling.agent import runners
from sanderling.agent.state import Settings
from sanderling.agent.supervisor import Options, run_agent

SETTINGS = Settings(observe_s=0.2, observe_trial_s=0.1, hint_spread_s=0.1, retry_s=0.2, latency_slack_us=1e6)

if __name__ == "__main__":
    # An agent of another release, to whom the runners of this one are strange.
    runners.PROTOCOL_VERSION = int(os.environ.get("TESTED_PROTOCOL_VERSION", runners.PROTOCOL_VERSION))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run_agent(Options(Path(sys.argv[1]), threads=1, settings=SETTINGS))
    assert "numpy" not in sys.modules, "the agent has loaded NumPy"
