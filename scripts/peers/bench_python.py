"""Makes the modules of packages/bench/python importable: what `lockstep bench accuracy` trains with. Import it before them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packages" / "bench" / "python"))
