"""`python -m intermodal_engine.cli`."""

import sys

from intermodal_engine.cli.main import main

sys.exit(main())
