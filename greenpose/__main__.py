"""`python -m greenpose` is `greenpose`."""

from greenpose.cli import main

main()
