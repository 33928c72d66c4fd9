-- A gallery, version 1; what version 2 adds is in schema_2.sql. Numbers in blobs are little-endian; camid -1 is an unknown camera.

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a pid that was given out is never another class.
CREATE TABLE class (
    pid INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE -- NULL: the pid is the name
) STRICT;

-- The embedding comes last, so that the other columns are read without it.
CREATE TABLE member (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    hash BLOB UNIQUE, -- SHA-256 of the image file
    pid INTEGER NOT NULL,
    camid INTEGER NOT NULL,
    time REAL, -- seconds since 1970
    weight REAL NOT NULL,
    quarantined INTEGER NOT NULL,
    attributes TEXT NOT NULL, -- JSON object
    embedding BLOB NOT NULL -- [dim] f32 or f16
) STRICT;
CREATE INDEX member_of ON member (pid, camid, quarantined);

-- Of the members that count: their number, the sum of their weights, the sum of weight x embedding.
CREATE TABLE part (
    pid INTEGER NOT NULL,
    camid INTEGER NOT NULL,
    members INTEGER NOT NULL,
    weight REAL NOT NULL,
    sum BLOB NOT NULL -- [dim] f64
) STRICT;
CREATE UNIQUE INDEX part_of ON part (pid, camid);
CREATE INDEX part_by_camera ON part (camid, pid);

-- What search holds in memory, in the order it is read: made from the parts with every change.
CREATE TABLE centroid (
    pid INTEGER PRIMARY KEY,
    norm REAL NOT NULL,
    direction BLOB NOT NULL -- [dim] f32, of length 1 or 0
) STRICT;

-- Which classes changed, for those who hold rows in memory.
CREATE TABLE change (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    pid INTEGER NOT NULL
) STRICT;
