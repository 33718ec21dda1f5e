"""`python -m serving.launch CONFIG`: see `serving.launch.supervisor`."""

import sys

from serving.launch.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
