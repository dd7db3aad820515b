-- Gives the active sets the rows of the other, complete sets, row by row.
--
-- Invariant: it writes only rows that differ, and no reader waits. A rebuild inside one transaction
-- ends in this way. It returns the tables that changed.

CREATE OR REPLACE FUNCTION kpi_engine.merge_set()
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
            kpi_engine.set_of(derived_tables.table_name, true) AS set_name,
            derived_tables.key_columns || others.columns AS columns,
            others.columns AS value_columns,
            kpi_engine.column_list(
                derived_tables.key_columns, 'known.%1$I = fresh.%1$I', ' AND '
            ) AS same_key
        FROM kpi_engine.derived_tables
        -- Also a column that left the definition: it is empty in the other set.
        CROSS JOIN LATERAL (
            SELECT array_agg(pg_attribute.attname::text ORDER BY pg_attribute.attnum) AS columns
            FROM pg_attribute
            WHERE
                pg_attribute.attrelid
                = format('kpi_engine.%I', derived_tables.table_name)::regclass
                AND pg_attribute.attnum > 0
                AND pg_attribute.attname <> ALL (derived_tables.key_columns)
        ) AS others
        WHERE derived_tables.rebuilding_by IS NOT NULL
        ORDER BY derived_tables.table_name
    LOOP
        EXECUTE format(
            'DELETE FROM kpi_engine.%1$I AS known
             WHERE NOT EXISTS (SELECT FROM kpi_engine.%2$I AS fresh WHERE %3$s)',
            v_table.table_name, v_table.set_name, v_table.same_key
        );
        GET DIAGNOSTICS v_deleted := ROW_COUNT;
        EXECUTE format(
            'UPDATE kpi_engine.%1$I AS known SET (%4$s) = ROW(%5$s)
             FROM kpi_engine.%2$I AS fresh
             WHERE %3$s AND ROW(%6$s) IS DISTINCT FROM ROW(%5$s)',
            v_table.table_name, v_table.set_name, v_table.same_key,
            kpi_engine.column_list(v_table.value_columns),
            kpi_engine.column_list(v_table.value_columns, 'fresh.%1$I'),
            kpi_engine.column_list(v_table.value_columns, 'known.%1$I')
        );
        GET DIAGNOSTICS v_updated := ROW_COUNT;
        EXECUTE format(
            'INSERT INTO kpi_engine.%1$I (%4$s)
             SELECT %4$s FROM kpi_engine.%2$I AS fresh
             WHERE NOT EXISTS (SELECT FROM kpi_engine.%1$I AS known WHERE %3$s)',
            v_table.table_name, v_table.set_name, v_table.same_key,
            kpi_engine.column_list(v_table.columns)
        );
        GET DIAGNOSTICS v_inserted := ROW_COUNT;
        IF v_deleted + v_updated + v_inserted > 0 THEN
            v_changed_tables := v_changed_tables || v_table.table_name;
        END IF;
    END LOOP;
    RETURN v_changed_tables;
END;
$merge_set$;

COMMENT ON FUNCTION kpi_engine.merge_set() IS
'Makes the active sets equal to the complete ones of a rebuild; returns the names of '
'the derived tables that changed. Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.merge_set() FROM public;
