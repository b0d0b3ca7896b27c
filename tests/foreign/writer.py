# Inserts and updates messages as any program may: its own SQLite, usual settings, one commit a row.
import sqlite3
import sys

path, count = sys.argv[1], int(sys.argv[2])
db = sqlite3.connect(path, timeout=30)
for number in range(count):
    with db:
        db.execute(
            "INSERT INTO messages(message_id, thread_id, module, content, type, timestamp, status)"
            " VALUES(?, 't', 'python', 'x', 'note', 1.0, 'pending')",
            (f"python-{number}",),
        )
    with db:
        db.execute("UPDATE messages SET status = 'complete' WHERE message_id = ?", (f"python-{number}",))
print(sqlite3.sqlite_version)
