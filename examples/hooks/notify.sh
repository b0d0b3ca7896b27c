#!/bin/sh
# Shows a notification on the desktop. In config.toml:
#
#   [[hook]]
#   name = "notify"
#   command = ["/path/to/notify.sh"]
#   events = ["alert.raised", "task.failed"]
#   timeout_seconds = 10
#
# A daemon that runs as a unit needs to know the desktop; with systemd, `systemctl --user import-environment DISPLAY
# WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS` in the session before it is started.
set -eu

field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

case $CLAUDE_COMMS_EVENT in
alert.raised) about="the alert $(field rule) is raised" ;;
task.failed) about="the task $(field task_id) in ${CLAUDE_COMMS_CHANNEL#pool:} has failed" ;;
*) about="$CLAUDE_COMMS_EVENT on $CLAUDE_COMMS_CHANNEL" ;;
esac

case $CLAUDE_COMMS_SEVERITY in
error) urgency=critical ;;
*) urgency=normal ;;
esac

notify-send --app-name=claude-comms --urgency="$urgency" "claude-comms" "$about"
