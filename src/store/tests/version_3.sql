-- What a database of version 3 holds, written down from one that a daemon of that time has made and left behind.

CREATE TABLE threads(
  thread_id TEXT PRIMARY KEY, title TEXT, modules TEXT, metadata TEXT, created_at REAL NOT NULL);
CREATE TABLE messages(
  message_id TEXT PRIMARY KEY, thread_id TEXT NOT NULL REFERENCES threads(thread_id) ON DELETE CASCADE,
  module TEXT NOT NULL, content TEXT NOT NULL, type TEXT NOT NULL, timestamp REAL NOT NULL,
  status TEXT DEFAULT 'complete', metadata TEXT);
CREATE INDEX messages_by_thread ON messages(thread_id);
CREATE INDEX messages_active ON messages(status) WHERE status IN ('pending','processing');
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE changes(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, op TEXT NOT NULL, message_id, old_status, new_status, length INTEGER);
CREATE TABLE modules(name TEXT PRIMARY KEY, directory TEXT NOT NULL, added_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE events(
  seq INTEGER PRIMARY KEY, at REAL NOT NULL, channel TEXT NOT NULL, event TEXT NOT NULL, frame BLOB NOT NULL);
CREATE INDEX events_by_message ON events(channel, seq) WHERE event = 'message.status_changed';
CREATE TABLE watches(
  watch_id INTEGER PRIMARY KEY, message_id TEXT UNIQUE, task_id TEXT UNIQUE, thread_id TEXT, source_module TEXT,
  target_module TEXT, status TEXT NOT NULL, added_at REAL NOT NULL, updated_at REAL NOT NULL, expires_at REAL,
  ended_at REAL);
CREATE INDEX watches_active ON watches(expires_at) WHERE ended_at IS NULL;
CREATE TABLE pools(
  pool_id TEXT PRIMARY KEY, pool_group TEXT, executor TEXT NOT NULL, settings TEXT NOT NULL,
  queue_max INTEGER NOT NULL, timeout_ms INTEGER NOT NULL, status TEXT NOT NULL,
  submitted INTEGER NOT NULL DEFAULT 0, completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL, started_at REAL, deleted_at REAL);
CREATE TABLE pool_groups(
  pool_group TEXT PRIMARY KEY, pools_min INTEGER NOT NULL, pools_max INTEGER NOT NULL, up_queue INTEGER NOT NULL,
  down_idle_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tasks(
  task_seq INTEGER PRIMARY KEY, task_id TEXT NOT NULL UNIQUE, pool_id TEXT NOT NULL, status TEXT NOT NULL,
  reason TEXT, priority INTEGER NOT NULL, not_before REAL, timeout_ms INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, token INTEGER,
  retries_max INTEGER NOT NULL, crashes INTEGER NOT NULL DEFAULT 0, on_crash TEXT NOT NULL, lock_key TEXT,
  idempotency_key TEXT, question_id TEXT, response_id TEXT, workflow_id TEXT, stage TEXT, step TEXT, worker_slot INTEGER,
  pid INTEGER, pid_started INTEGER, boot_id TEXT, exit_code INTEGER, exit_signal INTEGER,
  cancel_requested INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL, started_at REAL, completed_at REAL);
CREATE UNIQUE INDEX tasks_by_key ON tasks(idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_open ON tasks(pool_id, task_seq) WHERE status IN ('pending','running');
CREATE INDEX tasks_by_workflow ON tasks(workflow_id, stage) WHERE workflow_id IS NOT NULL;
CREATE TABLE task_inputs(
  task_seq INTEGER PRIMARY KEY, prompt TEXT NOT NULL, context TEXT, directory TEXT, system_prompt TEXT);
CREATE TABLE task_results(
  task_seq INTEGER PRIMARY KEY, result TEXT, error TEXT, truncated INTEGER NOT NULL DEFAULT 0, usage TEXT);
CREATE TABLE task_dependencies(
  task_seq INTEGER NOT NULL, needs_seq INTEGER NOT NULL, PRIMARY KEY(task_seq, needs_seq)) WITHOUT ROWID;
CREATE INDEX dependents ON task_dependencies(needs_seq);
CREATE TABLE workflows(
  workflow_id TEXT PRIMARY KEY, definition TEXT NOT NULL, status TEXT NOT NULL, stages_completed INTEGER NOT NULL,
  total_stages INTEGER NOT NULL, error TEXT, idempotency_key TEXT, created_at REAL NOT NULL, ended_at REAL);
CREATE UNIQUE INDEX workflows_by_key ON workflows(idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX workflows_open ON workflows(workflow_id) WHERE ended_at IS NULL;
CREATE TABLE search_rows(row INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE messages_fts USING fts5(content, module, tokenize='porter unicode61');
CREATE TABLE breakers(name TEXT PRIMARY KEY, snapshot TEXT NOT NULL, saved_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE upstreams(
       name TEXT PRIMARY KEY, endpoint TEXT NOT NULL, settings TEXT NOT NULL, configured INTEGER NOT NULL,
       enabled INTEGER NOT NULL, polling INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(
       upstream TEXT NOT NULL, metric TEXT NOT NULL, last REAL NOT NULL, "offset" REAL NOT NULL,
       PRIMARY KEY(upstream, metric)) WITHOUT ROWID;
CREATE TABLE samples(upstream TEXT NOT NULL, metric TEXT NOT NULL, at REAL NOT NULL, value REAL NOT NULL);
CREATE INDEX samples_by_upstream ON samples(upstream);
CREATE INDEX samples_by_age ON samples(at);
INSERT INTO threads VALUES('01a20f90-9d87-77b6-ac2c-f6a7805f5c9e', 'frontend-backend Communication', '["frontend","backend"]', '{}', 1795557465.479491);
INSERT INTO messages VALUES('01a20f90-9d87-77b6-ac2c-f6a63b462d4a', '01a20f90-9d87-77b6-ac2c-f6a7805f5c9e', 'frontend', 'hello', 'question', 1795557465.479491, 'pending', '{"target_module":"backend"}');
INSERT INTO meta VALUES('changes_folded', 1);
INSERT INTO meta VALUES('epoch', 'cc0e394474698373');
INSERT INTO meta VALUES('round_robin_next', 0);
INSERT INTO meta VALUES('search_indexed', 0);
INSERT INTO meta VALUES('token_next', 1);
INSERT INTO changes VALUES(1, 'insert', '01a20f90-9d87-77b6-ac2c-f6a63b462d4a', NULL, 'pending', 5);
INSERT INTO modules VALUES('backend', '/srv', 1795557460.229);
INSERT INTO modules VALUES('frontend', '/srv', 1795557460.227);
INSERT INTO events VALUES(1, 1795557460.222367, 'pool:local', 'pool.spawned', CAST('{"id":"1","correlation_id":null,"type":"event","event":"pool.spawned","data":{"pool_id":"local","config":{"executor":"command","queue_max":1000,"timeout_seconds":1800.0},"severity":"info"},"timestamp":"2026-11-24T21:57:40.222323+00:00","room":"pool:local","error_code":null,"error_message":null,"seq":1}' AS BLOB));
INSERT INTO events VALUES(2, 1795557460.223021, 'pool:local', 'pool.status_changed', CAST('{"id":"2","correlation_id":null,"type":"event","event":"pool.status_changed","data":{"pool_id":"local","worker_count":3,"queue_size":0,"status":"running","active_workers":0,"idle_workers":3,"tasks_completed":0,"tasks_failed":0,"severity":"info"},"timestamp":"2026-11-24T21:57:40.223021+00:00","room":"pool:local","error_code":null,"error_message":null,"seq":2}' AS BLOB));
INSERT INTO events VALUES(3, 1795557464.615261, 'upstream:numbers', 'upstream.polled', CAST('{"id":"3","correlation_id":null,"type":"event","event":"upstream.polled","data":{"upstream":"numbers","poll_cycle":1,"metrics_collected":["get_activity_summary"],"errors":[],"severity":"info"},"timestamp":"2026-11-24T21:57:44.615261+00:00","room":"upstream:numbers","error_code":null,"error_message":null,"seq":3}' AS BLOB));
INSERT INTO events VALUES(4, 1795557465.475878, 'upstream:dead', 'upstream.breaker_changed', CAST('{"id":"4","correlation_id":null,"type":"event","event":"upstream.breaker_changed","data":{"upstream":"dead","from":"CLOSED","to":"OPEN","severity":"error"},"timestamp":"2026-11-24T21:57:45.475878+00:00","room":"upstream:dead","error_code":null,"error_message":null,"seq":4}' AS BLOB));
INSERT INTO events VALUES(5, 1795557465.475878, 'upstream:dead', 'upstream.polled', CAST('{"id":"5","correlation_id":null,"type":"event","event":"upstream.polled","data":{"upstream":"dead","poll_cycle":1,"metrics_collected":[],"errors":["get_numbers failing"],"severity":"warning"},"timestamp":"2026-11-24T21:57:45.475878+00:00","room":"upstream:dead","error_code":null,"error_message":null,"seq":5}' AS BLOB));
INSERT INTO events VALUES(6, 1795557465.479491, 'message:01a20f90-9d87-77b6-ac2c-f6a63b462d4a', 'message.status_changed', CAST('{"id":"6","correlation_id":null,"type":"event","event":"message.status_changed","data":{"message_id":"01a20f90-9d87-77b6-ac2c-f6a63b462d4a","thread_id":"01a20f90-9d87-77b6-ac2c-f6a7805f5c9e","previous_status":null,"current_status":"pending","content_length":5,"final":false,"severity":"info"},"timestamp":"2026-11-24T21:57:45.479491+00:00","room":"message:01a20f90-9d87-77b6-ac2c-f6a63b462d4a","error_code":null,"error_message":null,"seq":6}' AS BLOB));
INSERT INTO pools VALUES('local', NULL, 'command', '{"command":null,"directory":null,"environment":{},"on_stuck":"report","retiring":false}', 1000, 1800000, 'running', 0, 0, 0, 1795557460.220215, 1795557460.222323, NULL);
INSERT INTO breakers VALUES('upstream:dead', '1 open 2999999970906 1 1', 1795557465.475878);
INSERT INTO upstreams VALUES('dead', 'http://127.0.0.1:1/mcp', '{"interval_ms":600000,"timeout_ms":10000,"max_retries":1,"retry_delay_ms":1000,"failure_threshold":1,"tools":["get_numbers"]}', 0, 1, 0);
INSERT INTO upstreams VALUES('numbers', 'http://127.0.0.1:8765/mcp', '{"interval_ms":600000,"timeout_ms":10000,"max_retries":3,"retry_delay_ms":5000,"failure_threshold":5,"tools":["get_activity_summary"]}', 0, 1, 0);
INSERT INTO upstreams VALUES('session-buddy', 'http://localhost:8678/mcp', '{"interval_ms":30000,"timeout_ms":10000,"max_retries":3,"retry_delay_ms":5000,"failure_threshold":5,"tools":["get_activity_summary","get_workflow_metrics","get_session_analytics","get_performance_metrics"]}', 1, 0, 0);
INSERT INTO counters VALUES('numbers', 'session_buddy.sessions.total', 41.0, 0.0);
INSERT INTO samples VALUES('numbers', 'session_buddy.sessions.active', 1795557460.242122, 3.0);
INSERT INTO samples VALUES('numbers', 'session_buddy.sessions.total', 1795557460.242122, 41.0);
CREATE TRIGGER messages_inserted AFTER INSERT ON messages BEGIN
  INSERT INTO changes(op, message_id, new_status, length)
    VALUES('insert', new.message_id, new.status, length(new.content));
END;
CREATE TRIGGER messages_updated AFTER UPDATE ON messages
  WHEN old.status IS NOT new.status OR old.content IS NOT new.content OR old.message_id IS NOT new.message_id BEGIN
  INSERT INTO changes(op, message_id, old_status)
    SELECT 'delete', old.message_id, old.status WHERE old.message_id IS NOT new.message_id;
  INSERT INTO changes(op, message_id, old_status, new_status, length)
    VALUES('update', new.message_id, old.status, new.status, length(new.content));
END;
CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
  INSERT INTO changes(op, message_id, old_status) VALUES('delete', old.message_id, old.status);
END;
PRAGMA user_version = 3;
