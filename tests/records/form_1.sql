PRAGMA application_id = 1299145815;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL REFERENCES entries, at TEXT NOT NULL,
    policy_id TEXT NOT NULL, decision TEXT NOT NULL);
INSERT INTO "decisions" VALUES(1,1,'2026-01-02T13:00:00.000000+00:00','p@1','{"action":"review","due_at":"2026-01-02T14:00:00Z"}');
INSERT INTO "decisions" VALUES(2,2,'2026-01-02T14:00:00.000000+00:00','p@1','{"action":"allow","due_at":null}');
INSERT INTO "decisions" VALUES(3,3,'2026-01-02T15:00:00.000000+00:00','p@1','{"action":"remove","due_at":"2026-01-02T19:19:19Z","reasons":[{"kind":"link","detail":"words of a link"}]}');
INSERT INTO "decisions" VALUES(4,4,'2026-01-02T16:00:00.000000+00:00','p@1','{"action":"allow","due_at":null}');
INSERT INTO "decisions" VALUES(5,4,'2026-12-01T16:50:28.880614+00:00','p@2','{"action":"review","due_at":"2026-01-02T18:00:00Z"}');
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL UNIQUE, service TEXT NOT NULL, post_id TEXT NOT NULL,
    at TEXT NOT NULL, features TEXT NOT NULL, assessment TEXT NOT NULL, model_id TEXT NOT NULL, deleted_at TEXT);
INSERT INTO "entries" VALUES(1,'identity 1','text','edited','2026-01-02T13:00:00.000000+00:00','{"text":{"id":"7262d88413219d40d56aaa3803822a2e960b42d78ac2906c502a9c5ff9fdc6fa","bytes":16}}','{"scores":{"abuse":0.1}}','m',NULL);
INSERT INTO "entries" VALUES(2,'identity 2','text','edited','2026-01-02T14:00:00.000000+00:00','{"text":{"id":"3e45fa2774f55d0e3ee630affbadf054409f81c8ee4085bdd70aaedc24cfc87b","bytes":11}}','{"scores":{"abuse":0.2}}','m',NULL);
INSERT INTO "entries" VALUES(3,'deleted 3','text','deleted','2026-01-02T15:00:00.000000+00:00','{}','{"scores":{"abuse":0.30000000000000004}}','m','2026-12-01T16:50:28.884435+00:00');
INSERT INTO "entries" VALUES(4,'identity 4','text','kept','2026-01-02T16:00:00.000000+00:00','{"text":{"id":"0967696d57310c603e93d981bcde67d58b51276ad492e545934bccc1187642e5","bytes":10}}','{"scores":{"abuse":0.4}}','m',NULL);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, post_id TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL,
    value TEXT NOT NULL, by TEXT NOT NULL, UNIQUE (post_id, kind, at, by, value));
INSERT INTO "events" VALUES(1,'edited','report','2026-01-02T12:00:00.000000+00:00','{"reason": "spam"}','');
INSERT INTO "events" VALUES(2,'edited','report','2026-01-02T12:01:00.000000+00:00','{"reason": "spam"}','');
INSERT INTO "events" VALUES(4,'deleted','report','2026-01-02T12:00:00.000000+00:00','{"reason": "words of somebody"}','');
INSERT INTO "events" VALUES(5,'deleted','report','2026-01-02T12:00:00.000000+00:00','{"reason": "words of another"}','');
INSERT INTO "events" VALUES(3,'edited','label','2026-01-02T12:00:00.000000+00:00','{"abuse": true, "nudity": null}','ann');
CREATE TABLE removals (content TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE texts (content TEXT PRIMARY KEY, data BLOB NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "texts" VALUES('0967696d57310c603e93d981bcde67d58b51276ad492e545934bccc1187642e5',X'6B65707420776F726473','2026-12-01T16:50:28.872505+00:00');
INSERT INTO "texts" VALUES('3e45fa2774f55d0e3ee630affbadf054409f81c8ee4085bdd70aaedc24cfc87b',X'6F7468657220776F726473','2026-12-01T16:50:28.856248+00:00');
INSERT INTO "texts" VALUES('7262d88413219d40d56aaa3803822a2e960b42d78ac2906c502a9c5ff9fdc6fa',X'666972737420776F726473200020C3A9','2026-12-01T16:50:28.853326+00:00');
CREATE TABLE uses (content TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entries, PRIMARY KEY (content, entry))
    WITHOUT ROWID;
INSERT INTO "uses" VALUES('7262d88413219d40d56aaa3803822a2e960b42d78ac2906c502a9c5ff9fdc6fa',1);
INSERT INTO "uses" VALUES('3e45fa2774f55d0e3ee630affbadf054409f81c8ee4085bdd70aaedc24cfc87b',2);
INSERT INTO "uses" VALUES('0967696d57310c603e93d981bcde67d58b51276ad492e545934bccc1187642e5',4);
CREATE INDEX entries_of_a_post ON entries (post_id, service, seq);
CREATE INDEX decisions_of_an_entry ON decisions (entry, seq);
CREATE INDEX uses_of_an_entry ON uses (entry);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('entries',4);
INSERT INTO "sqlite_sequence" VALUES('decisions',5);
INSERT INTO "sqlite_sequence" VALUES('events',5);
COMMIT;
