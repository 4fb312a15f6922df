-- A coordinator's ledger of version 2, made by the migrations of that time: a run in its first
-- round, one update received, one site lost.
CREATE TABLE attempts (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    opened INTEGER NOT NULL, closed INTEGER, failure TEXT,
    PRIMARY KEY (run, round, attempt)) WITHOUT ROWID;
CREATE TABLE "audit_unchained" (
    entry INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL);
CREATE TABLE contributions (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, attempt INTEGER NOT NULL, site TEXT NOT NULL,
    state INTEGER NOT NULL, reason TEXT NOT NULL DEFAULT '', weight REAL, loss REAL, train_seconds REAL,
    upload_seconds REAL, bytes INTEGER, PRIMARY KEY (run, round, attempt, site)) WITHOUT ROWID;
CREATE TABLE evaluations (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, model TEXT NOT NULL, split INTEGER NOT NULL,
    site TEXT NOT NULL, sums TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (run, round, model, split, site));
CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (run), sequence INTEGER NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL,
    round INTEGER NOT NULL, attempt INTEGER NOT NULL, site TEXT NOT NULL, text TEXT NOT NULL,
    "values" TEXT NOT NULL, PRIMARY KEY (run, sequence)) WITHOUT ROWID;
CREATE TABLE federation (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, created INTEGER NOT NULL, certificate_life INTEGER NOT NULL DEFAULT 7776000000000);
CREATE TABLE invitations (
    token_hash TEXT PRIMARY KEY, name TEXT NOT NULL, role INTEGER NOT NULL, made INTEGER NOT NULL,
    expires INTEGER NOT NULL, used INTEGER, weight_cap REAL NOT NULL DEFAULT 0);
CREATE TABLE log (
    number INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, details TEXT NOT NULL, head TEXT NOT NULL);
CREATE TABLE log_signatures (
    site TEXT NOT NULL, number INTEGER NOT NULL, head TEXT NOT NULL, signature TEXT NOT NULL,
    PRIMARY KEY (site, number)) WITHOUT ROWID;
CREATE TABLE members (
    tls_key TEXT PRIMARY KEY, name TEXT NOT NULL, role INTEGER NOT NULL, signing_key TEXT NOT NULL,
    enrolled INTEGER NOT NULL, admitted INTEGER, revoked INTEGER, weight_cap REAL NOT NULL DEFAULT 0);
CREATE TABLE models (
    model TEXT PRIMARY KEY, stage INTEGER NOT NULL, run TEXT NOT NULL, round INTEGER NOT NULL, parent TEXT,
    file_size INTEGER NOT NULL, parameters INTEGER NOT NULL, created INTEGER NOT NULL,
    record TEXT NOT NULL DEFAULT '');
CREATE TABLE participation (
    run TEXT NOT NULL REFERENCES runs (run), site TEXT NOT NULL, invite INTEGER NOT NULL, reason TEXT NOT NULL,
    train_patients INTEGER NOT NULL, train_examples INTEGER NOT NULL, refused_files INTEGER NOT NULL,
    PRIMARY KEY (run, site)) WITHOUT ROWID;
CREATE TABLE plans (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL, toml TEXT NOT NULL, at_specificity REAL NOT NULL);
CREATE TABLE pooled_evaluations (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, model TEXT NOT NULL, split INTEGER NOT NULL,
    sites TEXT NOT NULL, sums TEXT NOT NULL, compared INTEGER NOT NULL, worse INTEGER NOT NULL,
    PRIMARY KEY (run, round, model, split));
CREATE TABLE rosters (
    version INTEGER PRIMARY KEY, hash TEXT NOT NULL, file TEXT NOT NULL, accepted INTEGER NOT NULL);
CREATE TABLE rounds (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, opened INTEGER NOT NULL, closed INTEGER,
    candidate TEXT, PRIMARY KEY (run, round)) WITHOUT ROWID;
CREATE TABLE runs (
    run TEXT PRIMARY KEY, number INTEGER NOT NULL, plan_name TEXT NOT NULL,
    plan TEXT NOT NULL REFERENCES plans (hash), researcher TEXT NOT NULL, submitted INTEGER NOT NULL,
    started INTEGER NOT NULL DEFAULT 0, ended INTEGER, phase INTEGER NOT NULL DEFAULT 0,
    round INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0,
    failed_attempts INTEGER NOT NULL DEFAULT 0, parameters INTEGER NOT NULL DEFAULT 0,
    base TEXT, candidate TEXT, best TEXT, best_round INTEGER NOT NULL DEFAULT 0,
    best_auroc REAL NOT NULL DEFAULT 0, stop_reason TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '', failed INTEGER NOT NULL DEFAULT 0, published TEXT,
    last_sequence INTEGER NOT NULL DEFAULT 0, nonce TEXT, signature TEXT NOT NULL DEFAULT '', evaluation_attempt INTEGER NOT NULL DEFAULT 0, opening INTEGER NOT NULL DEFAULT 0, UNIQUE (plan_name, number));
CREATE TABLE survivor_signatures (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    site TEXT NOT NULL, signature TEXT NOT NULL, PRIMARY KEY (run, round, attempt, site)) WITHOUT ROWID;
CREATE UNIQUE INDEX members_active ON members (name) WHERE revoked IS NULL;
CREATE UNIQUE INDEX runs_nonce ON runs (nonce);
CREATE INDEX log_subject ON log (subject);
INSERT INTO "federation" VALUES(1,'chest',1800000000000000,7776000000000);
INSERT INTO "plans" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','chest','name = "chest"',0.9);
INSERT INTO "runs" VALUES('chest-0001',1,'chest','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','anna',1800000000000000,1800000001000000,NULL,2,1,1,0,1000,'0000000000000000000000000000000000000000000000000000000000000000',NULL,NULL,0,0.0,'','',0,NULL,12,'0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',0,0);
INSERT INTO "attempts" VALUES('chest-0001',0,1,1800000002000000,1800000003000000,NULL);
INSERT INTO "attempts" VALUES('chest-0001',1,1,1800000004000000,NULL,NULL);
INSERT INTO "contributions" VALUES('chest-0001',0,1,'east',3,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "contributions" VALUES('chest-0001',1,1,'east',1,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "contributions" VALUES('chest-0001',1,1,'north',2,'',100.0,0.5,3.0,1.0,4000);
INSERT INTO "contributions" VALUES('chest-0001',1,1,'south',4,'disk full',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES('chest-0001',1,1800000000500000,1,0,0,'','chest','{}');
INSERT INTO "events" VALUES('chest-0001',2,1800000001000000,2,0,0,'east','','{}');
INSERT INTO "events" VALUES('chest-0001',3,1800000001500000,3,0,0,'east','','{}');
INSERT INTO "events" VALUES('chest-0001',4,1800000002000000,6,0,1,'','','{}');
INSERT INTO "events" VALUES('chest-0001',5,1800000002500000,7,0,1,'east','','{}');
INSERT INTO "events" VALUES('chest-0001',6,1800000003000000,11,0,1,'','0000000000000000000000000000000000000000000000000000000000000000','{}');
INSERT INTO "events" VALUES('chest-0001',7,1800000003500000,6,1,1,'','','{}');
INSERT INTO "events" VALUES('chest-0001',8,1800000004000000,7,1,1,'east','','{}');
INSERT INTO "events" VALUES('chest-0001',9,1800000004500000,7,1,1,'north','','{}');
INSERT INTO "events" VALUES('chest-0001',10,1800000005000000,7,1,1,'south','','{}');
INSERT INTO "events" VALUES('chest-0001',11,1800000005500000,9,1,1,'north','','{"weight":100.0,"loss":0.5,"train_seconds":3.0,"upload_seconds":1.0,"bytes":4000.0}');
INSERT INTO "events" VALUES('chest-0001',12,1800000006000000,10,1,1,'south','disk full','{}');
INSERT INTO "models" VALUES('0000000000000000000000000000000000000000000000000000000000000000',1,'chest-0001',0,NULL,5000,1000,1800000003000000,'');
INSERT INTO "participation" VALUES('chest-0001','east',2,'',50,100,2);
INSERT INTO "participation" VALUES('chest-0001','north',2,'',50,100,2);
INSERT INTO "participation" VALUES('chest-0001','south',2,'',50,100,2);
INSERT INTO "rounds" VALUES('chest-0001',0,1800000002000000,1800000003000000,'0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO "rounds" VALUES('chest-0001',1,1800000004000000,NULL,NULL);
