-- Names the derived tables that were computed by older rules.
--
-- Invariant: a table that reads one of these is among them.

CREATE OR REPLACE FUNCTION kpi_engine.stale_derived_tables()
RETURNS text[]
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $stale_derived_tables$
DECLARE
    v_changed text[];
BEGIN
    -- PL/pgSQL keeps the plans: each refresh calls this.
    v_changed := ARRAY(
        SELECT derived_tables.table_name
        FROM kpi_engine.derived_tables
        LEFT JOIN kpi_engine.rules_of_derived_tables() AS rules
            ON rules.table_name = derived_tables.table_name
        WHERE derived_tables.rules_checksum IS DISTINCT FROM rules.checksum
    );
    -- Nearly always. The search for readers is planned for millions of rows, and takes a third of a
    -- second even if it finds none.
    IF cardinality(v_changed) = 0 THEN
        RETURN v_changed;
    END IF;
    RETURN ARRAY(
        WITH RECURSIVE stale AS (
            SELECT changed.table_name
            FROM unnest(v_changed) AS changed (table_name)
            UNION
            SELECT reader.table_name
            FROM stale
            INNER JOIN kpi_engine.derived_tables AS reader ON stale.table_name = ANY (reader.reads)
        )

        SELECT derived_tables.table_name
        FROM stale
        INNER JOIN kpi_engine.derived_tables USING (table_name)
        ORDER BY derived_tables.depth, derived_tables.table_name
    );
END;
$stale_derived_tables$;

COMMENT ON FUNCTION kpi_engine.stale_derived_tables() IS
'Names of the derived tables whose rules or source binding changed since they were computed, and '
'of those that read them, in the order of upkeep. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.stale_derived_tables() FROM public;
