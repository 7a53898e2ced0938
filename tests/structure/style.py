"""Style rules that a machine can judge. test_style.py applies them to every tracked file."""

import re

COLUMNS = 100
FILE_LINES = 900
FUNCTION_LINES = 80
TEST_FUNCTION_LINES = 120
# Written in halves, so that this file obeys its own rule.
MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
# (pattern, why, where it holds: a regular expression on the path)
MESSAGE_PATH = r"(engine/(base|io|flow|shard|net|device)|storage/log|protocols)/"
CODE_BANS = [
    (re.compile(r"\bthread_local\b"), "a simulation runs several shards in one thread",
     r"(engine|storage|protocols|tools)/"),
    (re.compile(r"\bstd::(recursive_|shared_|timed_)?mutex\b|\bpthread_mutex"),
     "the message path takes no lock", MESSAGE_PATH),
    (re.compile(r"\bthrow\b(?!\(\))"), "the message path has no exceptions", MESSAGE_PATH),
    (re.compile(r"\bstd::(format|print|println|expected)\b|<(format|print|expected)>"),
     "not there with g++ 12 and clang", r".*"),
    (re.compile(r"\busing namespace std\s*;"), "names of the library stay in std", r".*"),
    (re.compile(r"\bstd::this_thread::sleep|\busleep\(|\bnanosleep\("),
     "no test and no shard waits on wall time", r"(engine|storage|protocols|tests/(unit|sim))/"),
]
# Where a ban does not hold, and why.
ALLOWED = {
    ("engine/io/record.hpp", "std::mutex"): "a test's recorder; no server opens one",
    ("storage/log/supply.hpp", "std::mutex"): "makes segments on a thread of its own",
    ("storage/log/supply.cpp", "std::mutex"): "makes segments on a thread of its own",
    ("storage/log/curator.hpp", "std::mutex"): "a thread of its own, asked by readers",
    ("storage/log/curator.cpp", "std::mutex"): "a thread of its own, asked by readers",
    ("storage/log/holds.hpp", "std::mutex"): "set by readers, asked by the supply's thread",
    ("protocols/api/access.hpp", "std::mutex"): "of who changes tokens; checks have none",
    ("storage/log/data_dir.cpp", "nanosleep("): "the lock is retried before any shard runs",
    ("storage/log/writer.cpp", "nanosleep("): "the first segment is awaited before the shard runs",
}
TOP = {"meson.build", "meson_options.txt", "README.md", "LICENSE"}
ROOMS_AT_THE_TOP = {"engine", "storage", "protocols", "tools", "tests", "perf"}


def blank_out(text):
    """Text with comments, strings and characters replaced by spaces; lines stay where they are."""
    pattern = re.compile(
        r'R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)"|//(?:\\\n|[^\n])*|/\*.*?\*/'
        r'|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z_])(?:u8|[uUL])?\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


NOT_A_FUNCTION = re.compile(r"^(\s*(extern|inline|constexpr|export|\[\[.*?\]\])\s*)*\s*"
                            r"(namespace|class|struct|union|enum|extern)\b")


def functions(text):
    """(first line, last line, header) of each function body outside of another function."""
    code = blank_out(text)
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda found: re.sub(r"[^\n]", " ", found[0]), code,
                  flags=re.MULTILINE)
    found, stack, start = [], [], 0
    for match in re.finditer(r"[{};]", code):
        at, sign = match.start(), match[0]
        if sign == "{" and re.search(r"[\w>]", code[at - 1:at]):
            stack.append(("value", 0, ""))  # member_{1}: the header goes on after it
            continue
        if sign == "}" and stack and stack[-1][0] == "value":
            stack.pop()
            continue
        if sign == "{":
            start += re.match(r"(\s*(public|private|protected)\s*:)*\s*", code[start:at]).end()
            header = code[start:at]
            header = re.sub(r"template\s*<[^{};]*?>\s*(?=[a-z])", "", header, flags=re.DOTALL)
            opens = (")" in header and not header.rstrip().endswith(("=", ",", "("))
                     and not NOT_A_FUNCTION.match(header)
                     and not any(kind == "function" for kind, _, _ in stack))
            stack.append(("function" if opens else "block", code.count("\n", 0, start) + 1,
                          " ".join(header.split())))
        elif sign == "}" and stack:
            kind, first, header = stack.pop()
            if kind == "function":
                found.append((first, code.count("\n", 0, at) + 1, header))
        start = at + 1
    return found


def text_problems(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS and path != "LICENSE" and not path.endswith(".json"):
            yield f"{path}:{number}: {len(line)} columns, {COLUMNS} are allowed"
        if "\t" in line:
            yield f"{path}:{number}: a tab"
        if line != line.rstrip() and path != "LICENSE":
            yield f"{path}:{number}: space at the end"
        if MARKS.search(line):
            yield f"{path}:{number}: '{MARKS.search(line)[0]}': finish it or leave it out"
    if text.count("\n") > FILE_LINES:
        yield f"{path}: {text.count(chr(10))} lines, {FILE_LINES} are allowed: two rooms"
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end"


def code_problems(path, text):
    code = blank_out(text)
    for pattern, why, where in CODE_BANS:
        if not re.match(where, path):
            continue
        for match in pattern.finditer(code):
            if (path, match[0].strip()) in ALLOWED:
                continue
            yield f"{path}:{code.count(chr(10), 0, match.start()) + 1}: '{match[0].strip()}': {why}"
    if path.endswith(".hpp") and "#pragma once" not in text:
        yield f"{path}: no #pragma once"
    if not re.match(r"\s*(//|/\*|#)", text):
        yield f"{path}: the first line says neither what the file is nor what it includes"
    if path.endswith(".hpp") and not text.startswith("//"):
        yield f"{path}: a header starts with a comment that says what it is"
    limit = TEST_FUNCTION_LINES if path.startswith("tests/") else FUNCTION_LINES
    for first, last, header in functions(text):
        if last - first + 1 > limit:
            yield (f"{path}:{first}: {last - first + 1} lines, {limit} are allowed: "
                   f"{header[:60]}")


def problems(path, text):
    """Everything wrong with one file, as `file:line: reason`."""
    found = list(text_problems(path, text))
    if path.endswith((".hpp", ".cpp")):
        found += code_problems(path, text)
    return found


def top_problems(names):
    """`names`: what stands at the top of the tree, folders with a slash at the end."""
    for name in names:
        if name.startswith(".") or name in TOP or name.rstrip("/") in ROOMS_AT_THE_TOP:
            continue
        yield f"{name}: not one of the things at the top"
