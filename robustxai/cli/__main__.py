"""``python -m robustxai.cli``."""

from robustxai.cli import main

if __name__ == "__main__":
    main()
