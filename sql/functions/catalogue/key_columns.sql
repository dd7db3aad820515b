-- The key of a relation: the columns of its plain unique index.
--
-- Invariant: the index is one that REFRESH … CONCURRENTLY can use: no expression, no condition.
-- Of several the oldest counts.

CREATE OR REPLACE FUNCTION kpi_engine.key_columns(p_relation regclass)
RETURNS text[]
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $key_columns$
BEGIN
    -- PL/pgSQL keeps the plan: each request for a KPI calls this.
    RETURN (
        SELECT array_agg(pg_attribute.attname::text ORDER BY key.position)
        FROM pg_index
        CROSS JOIN LATERAL unnest(pg_index.indkey::smallint[]) WITH ORDINALITY
            AS key (attnum, position)
        INNER JOIN pg_attribute
            ON pg_attribute.attrelid = pg_index.indrelid AND pg_attribute.attnum = key.attnum
        WHERE
            key.position <= pg_index.indnkeyatts
            AND pg_index.indexrelid = (
                SELECT min(plain_index.indexrelid) FROM pg_index AS plain_index
                WHERE
                    plain_index.indrelid = p_relation
                    AND plain_index.indisunique
                    AND plain_index.indimmediate
                    AND plain_index.indisvalid
                    AND plain_index.indpred IS NULL
                    AND 0 <> ALL (plain_index.indkey::smallint[])
            )
    );
END;
$key_columns$;

COMMENT ON FUNCTION kpi_engine.key_columns(regclass) IS
'Columns of the plain unique index of a relation, in its order; NULL where there is none.';

REVOKE ALL ON FUNCTION kpi_engine.key_columns(regclass) FROM public;
