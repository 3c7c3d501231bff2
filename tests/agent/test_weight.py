"""What the agent's process loads."""

import subprocess
import sys

MODULES = "supervisor command mqtt attached check_in files runners router_client fakes"


def test_no_module_of_the_agent_loads_numpy():
    code = "\n".join(f"import sanderling.agent.{name}" for name in MODULES.split())
    code += "\nimport sys\nfrom sanderling.agent.facts import find_facts\nfind_facts()\n"
    code += "sys.exit('numpy' in sys.modules or 'sanderling_fleet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
