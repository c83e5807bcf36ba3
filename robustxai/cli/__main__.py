"""``python -m robustxai.cli``."""

from robustxai.cli import main

main()
