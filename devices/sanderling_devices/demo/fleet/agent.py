"""An agent that looks more often than a deployed one, so that the demo is short: a program, given its state folder.

Twelve devices share this machine's cores, so a runner's latency says how busy they are and not how fast its model is:
the slack keeps the rule on latency from blaming a version for it.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from sanderling.agent.state import Settings
from sanderling.agent.supervisor import Options, run_agent

SETTINGS = Settings(observe_s=1.0, observe_trial_s=0.5, hint_spread_s=0.3, retry_s=0.3, latency_slack_us=1e6)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run_agent(Options(Path(sys.argv[1]), threads=1, settings=SETTINGS))
