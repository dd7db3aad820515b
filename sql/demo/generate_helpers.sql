-- What the generator of the demo data needs, all of it temporary: gone with the session.
--
-- Nothing is random: every value is a hash of the row's key and of a number that says
-- what is drawn (its salt), so that the same seed, size and moment give the same rows.
-- PostgreSQL inlines these functions where their arguments are cheap: keys are columns.

-- The key of a row, from its parent's key (or the seed) and its number there. Both halves
-- are hashed apart, because hashint8extended folds them: 32 bits are too few for ids.
CREATE FUNCTION pg_temp.row_key(p_parent bigint, p_number bigint)
RETURNS bigint
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(p_parent & 4294967295, 1000 + p_number) & 4294967295)
| (hashint8extended((p_parent >> 32) & 4294967295, -1000 - p_number) << 32);

CREATE FUNCTION pg_temp.row_id(p_table text, p_key bigint)
RETURNS uuid
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN md5(p_table || p_key::text)::uuid;

-- Evenly distributed over [0, 1).
CREATE FUNCTION pg_temp.draw(p_key bigint, p_salt bigint)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(p_key, p_salt) & 9007199254740991)::double precision / 9007199254740992;

-- About normally distributed, mean 0, standard deviation 1, within [-3, 3).
CREATE FUNCTION pg_temp.bell(p_key bigint, p_salt bigint)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (
    (hashint8extended(p_key, p_salt) & 1048575)
    + ((hashint8extended(p_key, p_salt) >> 20) & 1048575)
    + ((hashint8extended(p_key, p_salt) >> 40) & 1048575)
)::double precision / 524288 - 3;

-- Evenly from 0 to p_count - 1.
CREATE FUNCTION pg_temp.pick(p_key bigint, p_salt bigint, p_count bigint)
RETURNS integer
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN floor(pg_temp.draw(p_key, p_salt) * p_count)::integer;

CREATE FUNCTION pg_temp.seconds(p_count double precision)
RETURNS interval
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN make_interval(secs => floor(p_count));

CREATE FUNCTION pg_temp.without_accents(p_text text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN translate(p_text, 'ÁÉÍÓÚÑÜáéíóúñüë', 'AEIOUNUaeiounue');

-- Mostly as it is; sometimes as people type it.
CREATE FUNCTION pg_temp.as_typed(p_text text, p_draw double precision)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_draw < 0.90 THEN p_text
    WHEN p_draw < 0.94 THEN upper(pg_temp.without_accents(p_text))
    WHEN p_draw < 0.96 THEN upper(p_text)
    WHEN p_draw < 0.98 THEN ' ' || lower(pg_temp.without_accents(p_text)) || ' '
    WHEN p_draw < 0.99 THEN p_text || chr(160)
    ELSE lower(p_text) || '  '
END;

-- One row: what is generated, and which part of it the next batch makes.
CREATE TEMPORARY TABLE demo_run (
    seed bigint NOT NULL,
    asesores_key bigint NOT NULL,
    auditores_key bigint NOT NULL,
    clientes_key bigint NOT NULL,
    solicitudes_key bigint NOT NULL,
    moment timestamptz NOT NULL,
    last_day date NOT NULL,
    first_day date NOT NULL,
    solicitudes bigint NOT NULL,
    asesores bigint NOT NULL,
    clientes bigint NOT NULL,
    batch_first bigint NOT NULL DEFAULT 0,
    batch_last bigint NOT NULL DEFAULT 0
);
