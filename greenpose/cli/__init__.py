"""The command line: parse, call, print, exit. Nothing else in GreenPose prints or exits."""

import sys


def main() -> None:
    """Run the command line; where a library that it stands on is missing, say so with a code that is no verdict.

    Ctrl-C while it is still being loaded ends it in silence: nothing had begun.
    """
    try:
        from greenpose.cli.app import main as run
    except ImportError as error:
        sys.stderr.write(f"error: GreenPose cannot start: {error}; install it again\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run()


__all__ = ["main"]
