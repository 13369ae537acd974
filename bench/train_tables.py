"""The training figures as a table for the terminal and as Markdown; where they were taken."""

import os
import platform
import subprocess
import time
from pathlib import Path

import torch

BEGIN, END = "<!-- bench:train begin -->\n", "<!-- bench:train end -->"


class Failure(Exception):
    """Told in one line."""


HEADINGS = [
    "placement, dtype",
    "lab tokens/s",
    "eager tokens/s",
    "ratio (range)",
    "bound: eager with free norms",
    "norm share, lab (probe)",
    "norm share, eager (profiler)",
]


def table_cells(row):
    speed = row["tokens_per_second"]
    low, high = row["ratio_range"]
    return [
        f"{row['placement']}, {row['dtype']}",
        f"{speed['ours']:,.0f}",
        f"{speed['eager']:,.0f}",
        f"{row['ratio']:.2f} ({low:.2f}-{high:.2f})",
        f"{row['bound_free_norms']:.2f}",
        f"{row['norm_share_ours']:.1%} ({row['norm_share_ours_probe']:.1%})",
        f"{row['norm_share_eager']:.1%} ({row['norm_share_eager_profiler']:.1%})",
    ]


def text_table(rows):
    cells = [HEADINGS] + [table_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells
    )


def markdown(result):
    lines = [f"{machine_line(result['machine'])}.", "", "| " + " | ".join(HEADINGS) + " |"]
    lines.append("|---" + "|---:" * (len(HEADINGS) - 1) + "|")
    lines += ["| " + " | ".join(table_cells(row)) + " |" for row in result["rows"]]
    return "\n" + "\n".join(lines) + "\n\n"


def write_markdown(file, text):
    page = Path(file).read_text()
    if BEGIN not in page or END not in page:
        raise Failure(f"expected the lines {BEGIN.strip()} and {END} in {file}")
    head, rest = page.split(BEGIN, 1)
    Path(file).write_text(head + BEGIN + text + END + rest.split(END, 1)[1])


def describe_machine(threads):
    cpu = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    git = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "git": git.stdout.strip(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load": os.getloadavg()[0],
    }


def machine_line(machine):
    parts = [machine["cpu"], f"{machine['threads']} threads of {machine['cores']} cores"]
    parts += [f"torch {machine['torch']}", f"Python {machine['python']}"]
    return ", ".join(parts + [part for part in (machine["git"], machine["date"]) if part])
