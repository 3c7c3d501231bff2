import sys
from pathlib import Path

# fleets.py is imported by its bare name under --import-mode=importlib.
sys.path.insert(0, str(Path(__file__).parent))
