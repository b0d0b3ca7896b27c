// Writes to the public tables with a SQLite of 2021 that has no full-text search.
// Arguments: the folder of sql.js, the database to read, the file to write it to.
const fs = require("fs");
const path = require("path");
const [folder, from, to] = process.argv.slice(2);
// Its own way of loading takes the path for an address where node has fetch().
const wasmBinary = fs.readFileSync(path.join(folder, "dist", "sql-wasm.wasm"));
require(folder)({ wasmBinary }).then((SQL) => {
  const db = new SQL.Database(fs.readFileSync(from));
  const one = (sql) => db.exec(sql)[0].values[0][0];
  if (one("SELECT COUNT(*) FROM pragma_compile_options WHERE compile_options LIKE 'ENABLE_FTS5'") !== 0) {
    throw new Error("this SQLite has FTS5; the test needs one without");
  }
  db.run("INSERT INTO threads VALUES('js', 'from node', '[]', NULL, 0)");
  for (const id of ["kept", "changed", "gone"]) {
    db.run("INSERT INTO messages(message_id, thread_id, module, content, type, timestamp, status) " +
      "VALUES(?, 'js', 'node', 'four', 'note', 1, 'pending')", [id]);
  }
  db.run("UPDATE messages SET status = 'complete' WHERE message_id IN ('changed', 'ours')");
  db.run("DELETE FROM messages WHERE message_id = 'gone'");
  db.run("INSERT OR REPLACE INTO messages VALUES('kept', 'js', 'node', 'seven!!', 'note', 1, 'failed', NULL)");
  const version = one("SELECT sqlite_version()");
  const check = one("PRAGMA integrity_check(1)");
  fs.writeFileSync(to, db.export());
  console.log(version, check);
});
