"""The command line: parse, call, print, exit. Nothing else in GreenPose prints or exits."""

from greenpose.cli.app import main

__all__ = ["main"]
