"""Lets the tests of this folder say `from small_models import ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
