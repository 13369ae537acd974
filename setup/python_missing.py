"""Prints the packages of setup/python.txt that the Python running this lacks, as pip takes them.

usage: python_missing.py SECTION...
It knows the two forms that the list uses: name==1.2.* and name>=1.2.
"""

import importlib.metadata
import re
import sys
from pathlib import Path


def numbers(version: str) -> list[int]:
    return [int(n) for n in re.match(r"\d+(\.\d+)*", version).group().split(".")]


def met(requirement: str) -> bool:
    name, comparison, wanted = re.fullmatch(
        r"([\w-]+)(==|>=)([\d.]+?)(?:\.\*)?", requirement
    ).groups()
    try:
        found = numbers(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False
    wanted = numbers(wanted)
    return found >= wanted if comparison == ">=" else found[: len(wanted)] == wanted


section = None
for line in Path(__file__).with_name("python.txt").read_text().splitlines():
    entry = line.split("#")[0].strip()
    if entry.startswith("["):
        section = entry.strip("[]")
    elif entry and section in sys.argv[1:] and not met(entry):
        print(entry)
