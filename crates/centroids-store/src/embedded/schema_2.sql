-- What version 2 adds, for galleries with sub-centroids. Only classes that have several are in it;
-- `part` and `centroid` hold them too, as wholes. A sub-centroid's number is from 1.

-- Where each member that counts belongs.
CREATE TABLE sub_member (
    pid INTEGER NOT NULL,
    member INTEGER NOT NULL,
    sub INTEGER NOT NULL,
    PRIMARY KEY (pid, member)
) STRICT, WITHOUT ROWID;

CREATE TABLE sub_part (
    pid INTEGER NOT NULL,
    sub INTEGER NOT NULL,
    camid INTEGER NOT NULL,
    members INTEGER NOT NULL,
    weight REAL NOT NULL,
    sum BLOB NOT NULL -- [dim] f64
) STRICT;
CREATE UNIQUE INDEX sub_part_of ON sub_part (pid, sub, camid);

CREATE TABLE sub_centroid (
    pid INTEGER NOT NULL,
    sub INTEGER NOT NULL,
    norm REAL NOT NULL,
    direction BLOB NOT NULL -- [dim] f32, of length 1 or 0
) STRICT;
CREATE UNIQUE INDEX sub_centroid_of ON sub_centroid (pid, sub);
