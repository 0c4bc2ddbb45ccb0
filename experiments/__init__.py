"""Programs: flags, files, tables, plots."""

import signal
import sys

# Ctrl-C before a program has begun (`python -m` imports for seconds) ends it at
# once, as it ends any other; `program.call` has words for it from then on.
if sys.argv[:1] == ['-m']:
  signal.signal(signal.SIGINT, signal.SIG_DFL)
