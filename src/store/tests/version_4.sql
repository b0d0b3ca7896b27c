-- What a daemon of version 4 has made of the database in version_3.sql: the table of its step, and what it wrote while a
-- rule for alerts was raised.

CREATE TABLE alerts(
       rule TEXT NOT NULL, labels TEXT NOT NULL, metric TEXT NOT NULL, bound TEXT NOT NULL, threshold REAL NOT NULL,
       value REAL NOT NULL, since REAL NOT NULL, raised_at REAL NOT NULL, PRIMARY KEY(rule, labels)) WITHOUT ROWID;
INSERT INTO events VALUES(7, 1795930851.86874, 'pool:local', 'pool.spawned', CAST('{"id":"7","correlation_id":null,"type":"event","event":"pool.spawned","data":{"pool_id":"local","config":{"executor":"command","queue_max":1000,"timeout_seconds":1800.0},"severity":"info"},"timestamp":"2026-11-29T05:40:51.868596+00:00","room":"pool:local","error_code":null,"error_message":null,"seq":7}' AS BLOB));
INSERT INTO events VALUES(8, 1795930851.870976, 'pool:local', 'pool.status_changed', CAST('{"id":"8","correlation_id":null,"type":"event","event":"pool.status_changed","data":{"pool_id":"local","worker_count":3,"queue_size":0,"status":"running","active_workers":0,"idle_workers":3,"tasks_completed":0,"tasks_failed":0,"severity":"info"},"timestamp":"2026-11-29T05:40:51.870976+00:00","room":"pool:local","error_code":null,"error_message":null,"seq":8}' AS BLOB));
INSERT INTO events VALUES(9, 1795930852.870629, 'alerts', 'alert.raised', CAST('{"id":"9","correlation_id":null,"type":"event","event":"alert.raised","data":{"rule":"awake","metric":"claude_comms_threads","labels":{},"value":8.0,"bound":"above","threshold":0.0,"since":"2026-11-29T05:40:52.870082+00:00","severity":"error"},"timestamp":"2026-11-29T05:40:52.870629+00:00","room":"alerts","error_code":null,"error_message":null,"seq":9}' AS BLOB));
INSERT INTO alerts VALUES('awake', '{}', 'claude_comms_threads', 'above', 0.0, 8.0, 1795930852.870082, 1795930852.870082);
PRAGMA user_version = 4;
