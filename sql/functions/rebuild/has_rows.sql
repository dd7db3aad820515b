-- Tells whether a table, or a table below it, may have rows.
--
-- Invariant: false only if there is certainly none. It looks at the size of the files, which
-- everybody may ask for. A deleted row counts until vacuum removes it. For a relation without files
-- of ours, such as a foreign table, it is true.

CREATE OR REPLACE FUNCTION kpi_engine.has_rows(p_relation oid)
RETURNS boolean
LANGUAGE sql
VOLATILE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $has_rows$
    WITH RECURSIVE tree AS (
        SELECT p_relation AS relation
        UNION
        SELECT pg_inherits.inhrelid
        FROM tree
        INNER JOIN pg_inherits
            ON pg_inherits.inhparent = tree.relation AND NOT pg_inherits.inhdetachpending
    )

    SELECT coalesce(bool_or(CASE
        WHEN pg_class.relkind = 'p' THEN false
        WHEN pg_class.relkind = 'r' THEN pg_relation_size(pg_class.oid) > 0
        ELSE true
    END), false)
    FROM tree
    INNER JOIN pg_class ON pg_class.oid = tree.relation;
$has_rows$;

COMMENT ON FUNCTION kpi_engine.has_rows(oid) IS
'Whether a table or one of its partitions may hold a row. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.has_rows(oid) FROM public;
