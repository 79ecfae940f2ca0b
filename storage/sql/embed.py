#!/usr/bin/env python3
"""Writes storage/migrate_sql.inc from storage/sql/NNNN_*.sql: the text as C strings, a row each.
tests/unit/storage/test_migrate.c fails when the two differ. Run it after editing a file."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def c_line(line):
    return '    "' + line.replace('\\', '\\\\').replace('"', '\\"') + '\\n"\n'


def main():
    out = ['/* Made by storage/sql/embed.py from the files named here. Do not edit. */\n']
    for name in sorted(os.listdir(HERE)):
        match = re.fullmatch(r'(\d{4})_\w+\.sql', name)
        if not match:
            continue
        out.append('{%d, "%s",\n' % (int(match.group(1)), name))
        with open(os.path.join(HERE, name), encoding='ascii') as f:
            out.extend(c_line(line.rstrip('\n')) for line in f)
        out.append('},\n')
    with open(os.path.join(HERE, '..', 'migrate_sql.inc'), 'w', encoding='ascii') as f:
        f.writelines(out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
