#!/usr/bin/env python3
"""embed.py IN OUT: the bytes of a file as the inside of a C array, for #include. The build runs it."""
import sys

source, target = sys.argv[1:3]
with open(source, "rb") as f:
    data = f.read()
with open(target, "w", encoding="ascii") as f:
    f.write(f"/* Made from {source.rsplit('/', 1)[-1]} by tools/embed.py. */\n")
    for at in range(0, len(data), 20):
        f.write("".join(f"{b}," for b in data[at:at + 20]) + "\n")
