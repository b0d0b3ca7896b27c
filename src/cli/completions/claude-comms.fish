# Completion of claude-comms for fish, which asks the program itself.
function __claude_comms_complete
    set --local words (commandline --current-process --tokenize --cut-at-cursor)
    set --local word (commandline --current-token --cut-at-cursor)
    set --local program $words[1]
    set --erase words[1]
    for line in (command $program __complete -- $words "$word" 2>/dev/null)
        switch $line
            case ':files*'
                __fish_complete_path "$word"
            case ':directories*'
                __fish_complete_directories "$word" ''
            case ':commands*'
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end
complete --command claude-comms --no-files --keep-order --arguments '(__claude_comms_complete)'
