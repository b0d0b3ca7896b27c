# Completion of claude-comms for bash, which asks the program itself. Works from bash 3.2 on.
_claude_comms() {
    local -a words
    local part line value glue='' at
    words=()
    # Bash cuts words at = and :, the program does not.
    for ((at = 1; at <= COMP_CWORD; at++)); do
        part=${COMP_WORDS[at]}
        if [[ ${#words[@]} -gt 0 && ( -n $glue || $part == [=:]* ) ]]; then
            words[${#words[@]} - 1]+=$part
        else
            words[${#words[@]}]=$part
        fi
        case $part in *[=:]) glue=1 ;; *) glue='' ;; esac
    done
    local word=${words[${#words[@]} - 1]}
    # What of it bash keeps by itself.
    local kept=${word%"${word##*[=:]}"}
    local rest=${word#"$kept"}
    COMPREPLY=()
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        case $value in
        :files) compopt -o filenames 2>/dev/null; while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$rest") ;;
        :directories) compopt -o filenames 2>/dev/null; while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -d -- "$rest") ;;
        :commands) while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -c -- "$rest") ;;
        *) printf -v value %q "${value#"$kept"}"; COMPREPLY+=("$value") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2>/dev/null)
}
complete -F _claude_comms claude-comms
