"""Write the completions for bash, zsh and fish from the declarations of the commands.

Commands, options and states are in the files. To complete an id, a queue, a task or the name of a
schedule, the shell runs cronq.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from command_tree import STATES, Command, Parameter, members, tree

PLACE = Path(__file__).parent.parent / "packaging" / "completions"

_KINDS = {
    "STATE": "states", "QUEUE": "queues", "TASK": "tasks", "ID": "ids", "FILE": "files", "PATH": "files",
    "WORD": "tasks", "DIR": "files",
}  # fmt: skip
"""The kind of completion for a value, by its name in the help."""

_ASKING = r"""# What exists, asked of the queue that the words typed so far lead to.
_cronq_ask() {
    local column=$1 listing=(ls --limit 500) options=() previous='' word
    shift
    case $column in schedules) column=1 listing=(schedules) ;; esac
    for word in "$@"; do
        case $previous in --config | --db) options+=("$previous" "$word") ;; esac
        case $word in --config=* | --db=*) options+=("$word") ;; esac
        previous=$word
    done
    cronq "${options[@]}" "${listing[@]}" 2>/dev/null | cut -f"$column" | sort -u
}
"""
_COLUMNS = {"ids": 1, "queues": 3, "tasks": 5, "schedule_names": "schedules"}
"""The columns of `cronq ls` in a pipe, by kind; the names of schedules come from the list of `cronq schedules`."""


def bash() -> str:
    """Return the text of /usr/share/bash-completion/completions/cronq."""
    program, verbs = tree()
    after = "\n".join(
        f"        {'|'.join(names)}) _cronq_complete {kind}; return ;;"
        for kind, names in _by_kind(program, verbs).items()
    )
    options = "\n".join(f"        {_label(verb)}) options='{_option_words(verb)}' ;;" for verb in verbs)
    arguments = "\n".join(
        f"        {_label(verb)}) _cronq_complete {_argument_kind(verb)} ;;" for verb in verbs if _argument_kind(verb)
    )
    groups = members(verbs)
    arguments += "".join(
        f"\n        {group}) mapfile -t COMPREPLY < <(compgen -W '{_names(within)}' -- \"$current\") ;;"
        for group, within in groups.items()
    )
    top = [verb.name for verb in verbs if " " not in verb.name]
    return f"""\
# bash completion for cronq, made by `make generated`. As /usr/share/bash-completion/completions/cronq.
{_ASKING}
# Names come from a database: compgen -W would run a $(command) in them.
_cronq_offer() {{
    local name quoted
    while IFS= read -r name; do
        printf -v quoted %q "$name"
        [[ $name == "$current"* || $quoted == "$current"* ]] && COMPREPLY+=("$quoted")
    done < <(_cronq_ask "$1" "${{COMP_WORDS[@]}}")
}}

_cronq_complete() {{
    case $1 in
        states) mapfile -t COMPREPLY < <(compgen -W '{" ".join(STATES)}' -- "$current") ;;
        ids) _cronq_offer {_COLUMNS["ids"]} ;;
        queues) _cronq_offer {_COLUMNS["queues"]} ;;
        tasks) _cronq_offer {_COLUMNS["tasks"]} ;;
        schedule_names) _cronq_offer {_COLUMNS["schedule_names"]} ;;
        files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}}

_cronq() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} verb='' options='' word skip=''
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [ -n "$skip" ] && {{ skip=''; continue; }}
        case $word in
            --) return ;;
            {"|".join(_valued(program))}) skip=1 ;;
            -*) ;;
            *) verb=${{verb:+$verb }}$word; case $verb in {"|".join(groups)}) ;; *) break ;; esac ;;
        esac
    done
    case $previous in
{after}
    esac
    case $verb in
{options}
        '') options='{_option_words(program)} {" ".join(top)}' ;;
    esac
    case $current in -*)
        mapfile -t COMPREPLY < <(compgen -W "$options {_option_words(program)}" -- "$current")
        return ;;
    esac
    case $verb in
        '') mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current") ;;
{arguments}
    esac
}}

complete -F _cronq cronq
"""


def zsh() -> str:
    """Return the text of /usr/share/zsh/vendor-completions/_cronq."""
    program, verbs = tree()
    groups = members(verbs)
    asked = "\n".join(
        f'_cronq_{kind}() {{\n    local -a found\n    found=(${{(f)"$(_cronq_ask {column} "${{words[@]}}")"}})\n'
        "    compadd -a found\n}"
        for kind, column in _COLUMNS.items()
    )
    top = tuple(verb for verb in verbs if " " not in verb.name)
    functions = "\n".join(
        _zsh_functions(f"_cronq_{group}", next(verb for verb in top if verb.name == group), within, ())
        for group, within in groups.items()
    )
    return f"""\
#compdef cronq
# zsh completion for cronq, made by `make generated`. As /usr/share/zsh/vendor-completions/_cronq.
{_ASKING}
{asked}
_cronq_states() {{ compadd {" ".join(STATES)} }}

{functions}
{_zsh_functions("_cronq", program, top, tuple(groups))}
_cronq "$@"
"""


def _zsh_functions(name: str, command: Command, verbs: tuple[Command, ...], groups: tuple[str, ...]) -> str:
    described = "\n".join(f"        {_quoted(f'{verb.name}:{_plain(verb.summary)}')}" for verb in verbs)
    calls = {verb.name: f"_cronq_{verb.name}" if verb.name in groups else f"_arguments {_zsh(verb)}" for verb in verbs}
    cases = "\n".join(f"        {verb})\n            {call} ;;" for verb, call in calls.items())
    options = " ".join([*map(_zsh_option, command.options), f"'1:command:{name}_verbs'"])
    return f"""\
{name}_verbs() {{
    local -a verbs
    verbs=(
{described}
    )
    _describe command verbs
}}

{name}() {{
    local context state line
    _arguments -C {options} '*::argument:->arguments'
    [ "$state" = arguments ] || return
    case $words[1] in
{cases}
    esac
}}
"""


def fish() -> str:
    """Return the text of /usr/share/fish/vendor_completions.d/cronq.fish."""
    program, verbs = tree()
    groups = members(verbs)
    lines = [_fish_option("", one) for one in program.options]
    lines += [
        f"complete -c cronq -n __fish_use_subcommand -f -a {verb.name} -d {_quoted(_plain(verb.summary))}"
        for verb in verbs
        if " " not in verb.name
    ]
    for group, within in groups.items():
        seen = f"-n {_quoted(f'{_seen(group)}; and not {_seen(_names(within))}')}"
        lines += [f"complete -c cronq {seen} -f -a {verb.name} -d {_quoted(_plain(verb.summary))}" for verb in within]
    for verb in verbs:
        seen = f"-n {_quoted(_fish_condition(verb.name, groups))} "
        lines += [_fish_option(seen, one) for one in verb.options]
        kind = _argument_kind(verb)
        if kind and kind != "files":
            lines.append(f"complete -c cronq {seen}-f -a {_quoted(f'({_fish_source(kind)})')}")
    body = "\n".join(lines)
    return f"""\
# fish completion for cronq, made by `make generated`. As /usr/share/fish/vendor_completions.d/cronq.fish.
function __cronq_ask
    set -l options
    set -l previous ''
    for word in (commandline -opc)
        switch $previous
            case --config --db
                set -a options $previous $word
        end
        set previous $word
    end
    if test $argv[1] = schedules
        cronq $options schedules 2>/dev/null | cut -f1 | sort -u
    else
        cronq $options ls --limit 500 2>/dev/null | cut -f$argv[1] | sort -u
    end
end

{body}
"""


def _fish_condition(name: str, groups: dict[str, tuple[Command, ...]]) -> str:
    group, _, verb = name.partition(" ")
    if verb:
        return f"{_seen(group)}; and {_seen(verb)}"
    others = [other for other, within in groups.items() if name in _names(within).split()]
    return f"{_seen(name)}; and not {_seen(' '.join(others))}" if others else _seen(name)


def _seen(words: str) -> str:
    return f"__fish_seen_subcommand_from {words}"


def _names(verbs: tuple[Command, ...]) -> str:
    return " ".join(verb.name for verb in verbs)


def _label(verb: Command) -> str:
    return f"'{verb.name}'" if " " in verb.name else verb.name


def _kind(parameter: Parameter) -> str:
    return _KINDS.get(parameter.value.rstrip("."), "")


def _argument_kind(verb: Command) -> str:
    """Return the kind of completion for a command's argument; the NAME of `schedules` commands is a schedule's."""
    if not verb.arguments:
        return ""
    parameter = verb.arguments[0]
    if verb.name.startswith("schedules ") and parameter.value.startswith("NAME"):
        return "schedule_names"
    return _kind(parameter)


def _valued(command: Command) -> list[str]:
    return [name for one in command.options if one.value for name in one.names]


def _by_kind(program: Command, verbs: tuple[Command, ...]) -> dict[str, list[str]]:
    """Return the options that take a value, by the kind of its completion."""
    found: dict[str, list[str]] = {}
    for command in (program, *verbs):
        for one in command.options:
            if one.value:
                names = found.setdefault(_kind(one) or "none", [])
                names += [name for name in one.names if name not in names]
    return found


def _option_words(command: Command) -> str:
    return " ".join(name for one in command.options for name in one.names)


def _zsh(verb: Command) -> str:
    parts = [_zsh_option(one) for one in verb.options]
    if verb.arguments:
        parts.append(_quoted(f"*:{verb.arguments[0].value.lower()}:{_zsh_action(_argument_kind(verb))}"))
    return " ".join(parts) or "'*: :'"


def _zsh_option(one: Parameter) -> str:
    text = _plain(one.help).replace("[", "(").replace("]", ")").replace(":", "\\:")
    value = f":{one.value.lower()}:{_zsh_action(_kind(one))}" if one.value else ""
    star = "*" if one.repeatable else ""
    return " ".join(_quoted(f"{star}{name}[{text}]{value}") for name in one.names)


def _zsh_action(kind: str) -> str:
    return "_files" if kind == "files" else f"_cronq_{kind}" if kind else ""


def _fish_option(condition: str, one: Parameter) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in one.names)
    kind = _kind(one)
    value = "" if not one.value else " -r" if kind == "files" else " -x"
    source = f" -a {_quoted(f'({_fish_source(kind)})')}" if kind and kind != "files" else ""
    return f"complete -c cronq {condition}{names}{value}{source} -d {_quoted(_plain(one.help))}"


def _fish_source(kind: str) -> str:
    return f"printf '%s\\n' {' '.join(STATES)}" if kind == "states" else f"__cronq_ask {_COLUMNS[kind]}"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


FILES = {"cronq.bash": bash, "_cronq": zsh, "cronq.fish": fish}

if __name__ == "__main__":
    PLACE.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (PLACE / name).write_text(text())
