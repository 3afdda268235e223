"""`python -m penstock` is the `penstock` command."""

from penstock.master.cli import main

if __name__ == "__main__":
    main()
