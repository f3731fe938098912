"""Reads files as lines of hexadecimal digits and says what Python's reader makes of each."""

import sys
import tomllib


def value(item):
    if isinstance(item, bool):
        return f"b{int(item)}"
    if isinstance(item, int):
        return f"i{item}"
    if isinstance(item, str):
        return "s" + item.encode().hex()
    if isinstance(item, list):
        return "[" + ",".join(value(element) for element in item) + "]"
    return "other"


def lines(table, path=()):
    for key, item in table.items():
        here = path + (key.encode().hex(),)
        if isinstance(item, dict):
            yield from lines(item, here)
        else:
            yield ".".join(here) + "=" + value(item)


for line in sys.stdin:
    try:
        document = tomllib.loads(bytes.fromhex(line.strip()).decode())
        print(";".join(sorted(lines(document))))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        print("refused")
