"""`python -m bucle.line.serving`: one endpoint's process."""

import sys

from bucle.line.serving.server import main

if __name__ == "__main__":
    sys.exit(main())
