#!/usr/bin/env python3
"""Writes the tables of inputs and outputs into each README.md below, from the .tf files beside it.

Usage: docs.py [--check]

A README holds a line `<!-- inputs -->` and one `<!-- outputs -->`; the table after each is ours. With --check nothing is written, and the exit code is 1 where a README is behind, or a variable or output says nothing.
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
BLOCK = re.compile(r'^(variable|output) "([^"]+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
# An argument of a block, with what belongs to it on deeper lines.
ARGUMENT = re.compile(r"^  (\w+) += (.*\n(?:(?:    .*|  [)}\]].*|)\n)*)", re.MULTILINE)
MARKER = re.compile(r"<!-- (inputs|outputs) -->\n\n?(?:\|.*\n)*")


def arguments(body):
    # Of nested blocks only `validation` occurs, and none of it is wanted.
    body = re.sub(r"^  validation \{\n.*?^  \}\n", "", body, flags=re.MULTILINE | re.DOTALL)
    return {name: text.strip() for name, text in ARGUMENT.findall(body)}


def text(quoted):
    return re.sub(r'\\(.)', r"\1", quoted.strip('"')).replace("|", "\\|")


def code(expression):
    lines = [re.sub(r"\s*#.*", "", line).strip() for line in expression.splitlines()]
    on_one_line = lines[0]
    for before, line in zip(lines, lines[1:]):
        if not line:
            continue
        on_one_line += ("" if line[0] in "})]" or before[-1:] in "({[" else " " if before[-1:] == "," else ", ") + re.sub(r"\s+", " ", line)
    return f"`{on_one_line}`"


def default(given):
    value = given.get("default")
    if value is None:
        return "required"
    if value.count("\n") > 3 and not re.search(r'= "[^"]', value):
        return "all empty"
    return code(value)


def blocks(folder, kind):
    for file in sorted(folder.glob("*.tf"), key=lambda file: (file.name != "variables.tf", file.name)):
        for found, name, body in BLOCK.findall(file.read_text()):
            if found == kind:
                yield name, arguments(body)


def table(folder, kind):
    problems, rows = [], []
    for name, given in blocks(folder, kind[:-1].replace("input", "variable")):
        if "description" not in given:
            problems.append(f"{folder.relative_to(HERE)}: {name} says nothing of itself")
        said = text(given.get("description", ""))
        if kind == "inputs":
            rows.append(f"| `{name}` | {said} | {code(given.get('type', 'any'))} | {default(given)} |")
        else:
            rows.append(f"| `{name}` | {said} |")
    head = "| name | what | type | default |\n|---|---|---|---|\n" if kind == "inputs" else "| name | what |\n|---|---|\n"
    return f"<!-- {kind} -->\n\n{head}" + "".join(f"{row}\n" for row in rows), problems


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    problems = []
    folders = sorted({file.parent for pattern in ("modules/*/*.tf", "examples/*/*.tf") for file in HERE.glob(pattern)})
    for folder in folders:
        readme = folder / "README.md"
        if not readme.exists():
            problems.append(f"{folder.relative_to(HERE)}: there is no README.md")
            continue
        before = readme.read_text()
        tables = {kind: table(folder, kind) for kind in ("inputs", "outputs")}
        problems += [problem for _, found in tables.values() for problem in found]
        missing = {"inputs", "outputs"} - set(MARKER.findall(before))
        problems += [f"{readme.relative_to(HERE)}: there is no line <!-- {kind} -->" for kind in sorted(missing)]
        after = MARKER.sub(lambda found: tables[found[1]][0], before)
        if before != after:
            if check:
                problems.append(f"{readme.relative_to(HERE)}: its tables are behind; run deploy/terraform/docs.py")
            else:
                readme.write_text(after)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
