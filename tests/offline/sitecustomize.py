"""Refuses the network to every Python process that has this folder on PYTHONPATH, and writes down who tried.

Python imports a module of this name at its start, in worker processes too. An audit hook sees every socket, also those
of libraries that swallow the refusal; and it cannot be taken off again. Sockets between local processes (AF_UNIX) stay.
"""

import json
import os
import socket
import sys
import traceback

NOTES = os.environ["GREENPOSE_TEST_NOTES"]
ASKING = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
SENDING = ("socket.connect", "socket.sendto", "socket.sendmsg")
INTERNET = (socket.AF_INET, socket.AF_INET6)


def note(**what: object) -> None:
    with open(NOTES, "a", encoding="utf-8") as file:  # noqa: PTH123 - nothing beyond what `socket` needs is imported
        file.write(json.dumps(what) + "\n")


def refuse(event: str, arguments: tuple) -> None:
    """Raise for everything that leaves the machine, or that looks up how to."""
    if event in ASKING or (event in SENDING and arguments[0].family in INTERNET):
        where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_stack(limit=30)[:-1]]
        target = repr(arguments[1:] if event in SENDING else arguments)
        note(tried=event, target=target, command=sys.orig_argv, where=where)
        raise PermissionError(f"{event}: this test is offline")


sys.addaudithook(refuse)
note(began=sys.orig_argv)
