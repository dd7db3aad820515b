-- Brings the active set to what the other, complete set holds, row by row.
--
-- Invariant: only rows that differ are written, and nobody who reads waits: this is how a
-- rebuild inside one transaction ends. Returns the tables that changed.

CREATE OR REPLACE FUNCTION kpi_engine.merge_set(p_suffix text)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $merge_set$
DECLARE
    v_changed_tables text[] := ARRAY[]::text[];
    v_table record;
    v_deleted bigint;
    v_updated bigint;
    v_inserted bigint;
BEGIN
    FOR v_table IN
        SELECT
            derived_tables.table_name,
            array_agg(pg_attribute.attname::text ORDER BY pg_attribute.attnum) FILTER (
                WHERE pg_attribute.attnum <> ALL (pg_index.indkey::smallint[])
            ) AS value_columns,
            string_agg(
                format('known.%1$I = fresh.%1$I', pg_attribute.attname), ' AND '
            ) FILTER (
                WHERE pg_attribute.attnum = ANY (pg_index.indkey::smallint[])
            ) AS same_key
        FROM kpi_engine.derived_tables
        INNER JOIN pg_index
            ON pg_index.indrelid
            = format('kpi_engine.%I', derived_tables.table_name || p_suffix)::regclass
            AND pg_index.indisprimary
        INNER JOIN pg_attribute
            ON pg_attribute.attrelid = pg_index.indrelid
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
        GROUP BY derived_tables.table_name
        ORDER BY derived_tables.table_name
    LOOP
        EXECUTE format(
            'DELETE FROM kpi_engine.%1$I AS known
             WHERE NOT EXISTS (SELECT FROM kpi_engine.%2$I AS fresh WHERE %3$s)',
            v_table.table_name, v_table.table_name || p_suffix, v_table.same_key
        );
        GET DIAGNOSTICS v_deleted := ROW_COUNT;
        EXECUTE format(
            'UPDATE kpi_engine.%1$I AS known SET (%4$s) = ROW(%5$s)
             FROM kpi_engine.%2$I AS fresh
             WHERE %3$s AND (%6$s) IS DISTINCT FROM (%5$s)',
            v_table.table_name, v_table.table_name || p_suffix, v_table.same_key,
            (SELECT string_agg(quote_ident(name), ', ')
             FROM unnest(v_table.value_columns) AS name),
            (SELECT string_agg(format('fresh.%I', name), ', ')
             FROM unnest(v_table.value_columns) AS name),
            (SELECT string_agg(format('known.%I', name), ', ')
             FROM unnest(v_table.value_columns) AS name)
        );
        GET DIAGNOSTICS v_updated := ROW_COUNT;
        EXECUTE format(
            'INSERT INTO kpi_engine.%1$I
             SELECT fresh.* FROM kpi_engine.%2$I AS fresh
             WHERE NOT EXISTS (SELECT FROM kpi_engine.%1$I AS known WHERE %3$s)',
            v_table.table_name, v_table.table_name || p_suffix, v_table.same_key
        );
        GET DIAGNOSTICS v_inserted := ROW_COUNT;
        IF v_deleted + v_updated + v_inserted > 0 THEN
            v_changed_tables := v_changed_tables || v_table.table_name;
        END IF;
    END LOOP;
    RETURN v_changed_tables;
END;
$merge_set$;

COMMENT ON FUNCTION kpi_engine.merge_set(text) IS
'Makes the active set equal to another, complete one (suffix _a or _b); returns the names of '
'the derived tables that changed. Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.merge_set(text) FROM public;
