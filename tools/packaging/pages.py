"""Manual pages and completions for bash, made from what the programs say with --help."""

import re
import subprocess


def help_of(program, *words):
    done = subprocess.run([str(program), *words, "--help"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SystemExit(f"tools/package: {program} {' '.join(words)} --help: {done.stderr}")
    return done.stdout.rstrip() + "\n"


def subcommands(text):
    """The names under "Subcommands:"."""
    found = re.search(r"^(?:Subcommands|Commands):\n((?:  .*\n)+)", text, re.MULTILINE)
    return re.findall(r"^  (\S+)", found[1], re.MULTILINE) if found else []


def commands(program, text, *before):
    """All commands below the one whose help is `text`: ("token",), ("token", "create"), ..."""
    for word in subcommands(text):
        yield (*before, word)
        yield from commands(program, help_of(program, *before, word), *before, word)


def options(text):
    return sorted(set(re.findall(r"(--[a-z][a-z0-9-]*)", "\n".join(
        line for line in text.splitlines() if re.match(r"\s+(-\w,)?--", line)))))


def roff(text):
    """Text that troff sets as it stands."""
    lines = []
    for line in text.strip("\n").split("\n"):
        line = line.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
        line = line.replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
        lines.append("\\&" + line if line.startswith((".", "\\(aq")) else line)
    return ".nf\n" + "\n".join(lines) + "\n.fi\n"


def manual(name, program, version, date):
    """ringgate-ctl(1): all that its --help says, that of its commands behind it."""
    text = help_of(program)
    first, _, rest = text.partition("\n")
    usage, _, rest = rest.partition("\n")
    page = (f'.TH {name.upper()} 1 "{date}" "ringgate {version}" "User Commands"\n'
            f".SH NAME\n{name} \\- {roff_word(first.rstrip('.'))}\n"
            f".SH SYNOPSIS\n{roff(usage.removeprefix('Usage: '))}"
            f".SH DESCRIPTION\n{roff(rest)}")
    for words in commands(program, text):
        page += f".SH {name.upper()} {' '.join(words).upper()}\n{roff(help_of(program, *words))}"
    if name == "ringgate":
        page += (".SH FILES\n.I /etc/ringgate/ringgate.toml\n: every setting, with its default\n"
                 ".br\n.I /var/lib/ringgate\n: the log, the state, media\n")
    others = [other for other in ("ringgate", "ringgate-ctl", "ringgate-log") if other != name]
    return page + ".SH SEE ALSO\n" + ",\n".join(f".BR {one} (1)" for one in others) + "\n"


def roff_word(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def completion(name, program):
    """A bash function: the commands, the options and commands of each, then names of files."""
    text = help_of(program)
    function = "_" + name.replace("-", "_")
    cases = ""
    for words in commands(program, text):
        inside = help_of(program, *words)
        cases += (f"      ' {' '.join(words)}') words='{' '.join(offered(inside))}'"
                  f" path+=\" $word\" ;;\n")
    return (f"# bash completion of {name}, made from its --help.\n{function}() {{\n"
            "  local current=${COMP_WORDS[COMP_CWORD]} words word path=\n"
            f"  words='{' '.join(offered(text))}'\n"
            '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do\n    case "$path $word" in\n'
            + cases +
            "    esac\n  done\n"
            '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")\n}\n'
            f"complete -o default -F {function} {name}\n") if cases else (
        f"# bash completion of {name}, made from its --help.\n"
        f"complete -o default -W '{' '.join(offered(text))}' {name}\n")


def offered(text):
    """What may come next, by a help."""
    return options(text) + subcommands(text)
