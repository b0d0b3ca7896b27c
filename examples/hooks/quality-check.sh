#!/bin/sh
# Checks what a task has left behind, and tells everybody the verdict. In config.toml:
#
#   [[hook]]
#   name = "quality"
#   command = ["/path/to/quality-check.sh", "cargo", "test", "--quiet"]
#   channels = ["pool:*"]
#   events = ["task.completed"]
#   timeout_seconds = 900
#
# The words after the script are the check. It runs in the directory of the task, and all is well when it ends with 0.
# Follow the verdicts with: claude-comms event tail --channel 'quality:*'
set -eu

if [ $# -eq 0 ]; then
    echo "say what to check with: quality-check.sh COMMAND [ARGUMENT ...]" >&2
    exit 2
fi

# The event is one line of JSON on standard input. It says which task, never what was in it.
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
task=$(field task_id)
directory=$(claude-comms task show "$task" --json | field dir)

if [ -n "$directory" ]; then
    cd "$directory"
fi

# The script itself ends with 0 whatever the verdict: it has done what it is for, and need not be run again.
if "$@" >&2; then
    verdict=passed severity=info
else
    verdict=failed severity=error
fi
claude-comms event publish "quality:$task" "quality.$verdict" --severity "$severity" \
    "{\"task_id\":\"$task\",\"event\":$CLAUDE_COMMS_SEQ}"
