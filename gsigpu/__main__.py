"""`python -m gsigpu`."""

from gsigpu.cli import main

main()
