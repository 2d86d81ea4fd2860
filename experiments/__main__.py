"""``python -m experiments fit --config configs/….yaml``."""

from experiments.cli import main

if __name__ == "__main__":
    main()
