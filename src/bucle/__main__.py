"""`python -m bucle` is `bucle`."""

import sys

from bucle.doors.cli.main import main

sys.exit(main())
