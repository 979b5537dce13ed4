"""`python -m vestibule_wsgi`, and the console script."""

import sys

from vestibule_wsgi._host import main as _main


def main() -> None:
    """Runs the server with the arguments of the command line."""
    sys.exit(_main(sys.argv))


if __name__ == "__main__":
    main()
