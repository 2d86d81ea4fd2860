"""``python -m experiments fit --config configs/….yaml``, and the commands that come after a training."""

import sys

from experiments.cli import main
from experiments.commands import COMMANDS, run_command

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        sys.exit(run_command(sys.argv[1:]))
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(f"After a training: python -m experiments {{{','.join(COMMANDS)}}} --help\n")
    main()
