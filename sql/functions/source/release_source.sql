-- Releases the operational tables, so that their owner can retype or drop columns.
--
-- Invariant: afterwards no src_ view reads a table, and a read of one raises an error. Nothing is
-- lost, and the published views stay. analytics.bind_source() or make migrate binds again, also in
-- the same transaction.
-- SECURITY DEFINER: the owner of the operational tables does not own the src_ views. Granted to
-- nobody: GRANT EXECUTE to the role that runs the migrations of the operational schema.

CREATE OR REPLACE FUNCTION analytics.release_source()
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $release_source$
DECLARE
    v_view record;
    v_released integer := 0;
BEGIN
    FOR v_view IN
        SELECT
            pg_class.relname,
            string_agg(
                format(
                    'NULL::%s%s AS %I',
                    format_type(pg_attribute.atttypid, pg_attribute.atttypmod),
                    CASE
                        WHEN pg_attribute.attcollation <> 0 THEN ' COLLATE pg_catalog."default"'
                        ELSE ''
                    END,
                    pg_attribute.attname
                ), ', ' ORDER BY pg_attribute.attnum
            ) AS columns
        FROM (
            SELECT DISTINCT source_names.view_name FROM kpi_engine.source_names()
        ) AS contract
        INNER JOIN pg_class
            ON
                pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND pg_class.relname = contract.view_name
        INNER JOIN pg_attribute
            ON
                pg_attribute.attrelid = pg_class.oid
                AND pg_attribute.attnum > 0
                AND NOT pg_attribute.attisdropped
        GROUP BY pg_class.relname
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE VIEW kpi_engine.%I AS SELECT %s FROM kpi_engine.released_source()',
            v_view.relname, v_view.columns
        );
        v_released := v_released + 1;
    END LOOP;
    RETURN v_released;
END;
$release_source$;

COMMENT ON FUNCTION analytics.release_source() IS
'Releases the operational tables from the src_ views, so that their columns can be retyped or '
'dropped. Returns the number of views. Until SELECT analytics.bind_source(); or make migrate, '
'refreshes fail by name and the published views stay. For the owner of the operational tables, if '
'granted.';

REVOKE ALL ON FUNCTION analytics.release_source() FROM public;
