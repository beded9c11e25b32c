#!/bin/sh
# interface.sh PROCMAP: the program, its --help, its manual page and its completions know the same commands and options.
# What a missing tool cannot check is printed as "skipped".
set -u
procmap=$1
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
failures=0
checks=0

# same NAME: the lines of $work/wanted and $work/got are the same, in any order, and there are some
same() {
    checks=$((checks + 1))
    sort -u "$work/wanted" >"$work/wanted.sorted"
    sort -u "$work/got" >"$work/got.sorted"
    [ -s "$work/wanted" ] && cmp -s "$work/wanted.sorted" "$work/got.sorted" && return
    echo "not ok $1"
    diff "$work/wanted.sorted" "$work/got.sorted" | sed 's/^/    /'
    failures=$((failures + 1))
}

# What --help says.
"$procmap" --help >"$work/help"
commands=$(sed -n 's/^  \([a-z][a-z]*\)  *[a-z].*/\1/p' "$work/help")
for command in $commands; do
    "$procmap" "$command" --help | sed -n 's/^  \(--[a-z].*\)/\1/p' | sed 's/  .*//' | grep -oE -e '--[a-z-]+( [A-Z]+)?' >"$work/$command.all"
    sed 's/ .*//' "$work/$command.all" >"$work/$command"
done
every=$(cd "$work" && for command in $commands; do cat "$command"; done | sort -u)

# The program takes those options and no others.
for command in $commands; do
    for option in $every; do
        case $option in
            --from | --name) value='=x' ;; --backend) value='=auto' ;; --proc) value='=/proc' ;; --interval | --count) value='=1' ;; *) value= ;;
        esac
        "$procmap" "$command" "$option$value" --help >"$work/out" 2>&1 && echo "$option"
    done >"$work/got"
    cp "$work/$command" "$work/wanted"
    same "$command takes the options of its --help"
done

# The manual page: each command's synopsis has its options but those that all have, and each option is explained.
page=$root/man/procmap.1
sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$page" >"$work/synopsis"
sed -n 's/^\.Cm \([a-z]*\)$/\1/p' "$work/synopsis" >"$work/got"
echo "$commands" >"$work/wanted"
same "the manual's commands"
sed -n 's/^\.It Cm \([a-z]*\)$/\1/p' "$page" >"$work/got"
same "the manual explains each command"
for command in $commands; do
    sed -n "/^\.Cm $command\$/,/^\.Nm/p" "$work/synopsis" | sed 's/ | -/\n-/; s/.*Fl -/-/; s/Ar //' |
        grep -oE -e '^-[a-z-]+( [A-Z]+)?' | sed 's/^/-/' >"$work/got"
    grep -vE -e '--(proc|help|version)' "$work/$command.all" >"$work/wanted"
    same "the manual's synopsis of $command"
done
grep '^\.It Fl' "$page" | grep -oE 'Fl -[a-z-]+' | sed 's/^Fl -/--/' >"$work/got"
echo "$every" >"$work/wanted"
same "the manual explains each option"
if command -v mandoc >"$work/out"; then
    # Whether another page is there says nothing about this one.
    mandoc -T lint "$page" 2>&1 | grep -v -e 'referenced manual not found' -e 'mandoc.db' >"$work/got"
    echo none | tee -a "$work/got" >"$work/wanted"
    same "mandoc -T lint"
else
    echo "NOT INCLUDED: interface: mandoc -T lint, without mandoc"
fi

# bash
if command -v bash >"$work/out"; then
    # completions WORD...: what is offered for the last one
    { echo ". '$root/cli/completion/procmap'"; cat; } >"$work/complete.sh" <<'END2'
COMP_WORDS=(procmap "$@") COMP_CWORD=$#
_procmap
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
END2
    # completions WORD...: what is offered for the last one
    completions() { bash -u "$work/complete.sh" "$@"; }
    completions '' >"$work/got"
    { echo "$commands"; printf '%s\n' help self --help --version; } >"$work/wanted"
    same "bash: commands"
    echo "$commands" >"$work/wanted"
    completions help '' >"$work/got"
    same "bash: commands of help"
    echo $$ >"$work/wanted"
    completions $$ | grep -x $$ >"$work/got"
    same "bash: a target in place of a command"
    cp "$work/list" "$work/wanted"
    completions $$ -- >"$work/got"
    same "bash: options of a target"
    completions sn >"$work/got"
    echo snapshot >"$work/wanted"
    same "bash: a command's beginning"
    for command in $commands; do
        completions "$command" -- >"$work/got"
        cp "$work/$command" "$work/wanted"
        same "bash: options of $command"
        completions "$command" '' | grep -x -e self -e $$ >"$work/got"
        case $command in probe) continue ;; *) printf '%s\n' self $$ >"$work/wanted" ;; esac
        same "bash: targets of $command"
    done
    printf '%s\n' auto ioctl text >"$work/wanted"
    completions list --backend '' >"$work/got"
    same "bash: a value"
    completions list --backend = >"$work/got"
    same "bash: a value behind ="
    echo text >"$work/wanted"
    completions list --backend = t >"$work/got"
    same "bash: the beginning of a value behind ="
    echo "$root/cli/completion/procmap" >"$work/wanted"
    completions list --from "$root/cli/completion/p" >"$work/got"
    same "bash: a file"
    completions diff self "$root/cli/completion/p" >"$work/got"
    same "bash: a file for B"
    echo self >"$work/wanted"
    completions list --backend text se >"$work/got"
    same "bash: a value is no target"
    completions list --json se >"$work/got"
    same "bash: a target behind an option"
    echo >"$work/wanted"
    for line in "probe s" "self s" "help list s" "list 1 s" "list --from x s" "diff 1 2 s" "list --name s" "watch --count s" "find --interval = s"; do
        # shellcheck disable=SC2086  # words
        { completions $line; echo; } >"$work/got"
        same "bash: nothing for $line"
    done
else
    echo "NOT INCLUDED: interface: completion of bash, without bash"
fi

# zsh, in a terminal of its own; the list that it shows is the answer.
if command -v zsh >"$work/out"; then
    cat >"$work/zsh" <<'END2'
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; stty cols 300 rows 1000 -echo; LISTMAX=10000; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D
    bindkey '^Xl' list-choices; bindkey '^Xk' kill-whole-line; zstyle ':completion:*' list-separator '##'; print READ''Y"
zpty -r shell out '*READY*'
while IFS= read -r line; do
    zpty -w shell "$line"$'\C-xl\C-xk'"print DON''E"
    zpty -r shell out '*DONE*'
    print -r -- "LINE $line"
    print -r -- "$out"
done
zpty -d shell
END2
    {
        echo 'procmap '
        for command in $commands; do printf 'procmap %s --\nprocmap %s \n' "$command" "$command"; done
        echo 'procmap list --backend='
        echo "procmap diff self $root/cli/completion/"
        echo 'procmap self --'
    } >"$work/lines"
    zsh -f "$work/zsh" "$root/cli/completion" <"$work/lines" 2>"$work/err" |
        tr '\r' '\n' | sed "s/$(printf '\033')\[[0-9;?]*[A-Za-z]/\n/g; s/ *\$//" >"$work/offers"
    # offered LINE
    offered() { awk -v line="LINE ${1% }" '$0 == line { on = 1; next } /^LINE / { on = 0 } on' "$work/offers"; }
    offered 'procmap ' | sed -n 's/^\([a-z]*\)  *## /\1 /p' >"$work/got"
    sed -n 's/^  \([a-z][a-z]*\)  *\([a-z].*\)/\1 \2/p' "$work/help" >"$work/wanted"
    echo 'help print the help of a command' >>"$work/wanted"
    same "zsh: commands, explained as by --help"
    for command in $commands; do
        offered "procmap $command --" | grep -v "procmap $command --\$" | grep -oE -e '--[a-z-]+' >"$work/got"
        cp "$work/$command" "$work/wanted"
        same "zsh: options of $command"
        [ "$command" = probe ] && continue
        offered "procmap $command " | grep -oE '(^| )self( |$)' | tr -d ' ' >"$work/got"
        echo self >"$work/wanted"
        same "zsh: targets of $command"
    done
    offered 'procmap self --' | grep -v 'procmap self --$' | grep -oE -e '--[a-z-]+' >"$work/got"
    cp "$work/list" "$work/wanted"
    same "zsh: options of a target"
    printf '%s\n' auto ioctl text >"$work/wanted"
    offered 'procmap list --backend=' | sed -n '/^auto/{s/  */\n/g;p;}' >"$work/got"
    same "zsh: a value"
    printf '%s\n' _procmap procmap >"$work/wanted"
    offered "procmap diff self $root/cli/completion/" | sed -n '/^_procmap/{s/  */\n/g;p;}' >"$work/got"
    same "zsh: a file for B"
else
    echo "NOT INCLUDED: interface: completion of zsh, without zsh"
fi

echo "$checks checks, $failures failed"
[ $failures -eq 0 ]
