-- Tells whether the package was restored without its data.
--
-- Invariant: NULL, or one of our tables without the rows that it always has. This is so after a
-- restore of pg_dump --schema-only or --exclude-table-data.

CREATE OR REPLACE FUNCTION kpi_engine.empty_own_table()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $empty_own_table$
DECLARE
    v_name text;
    v_is_empty boolean;
BEGIN
    FOREACH v_name IN ARRAY ARRAY[
        'kpi_engine.migration_ledger', 'kpi_engine.installation', 'kpi_engine.settings',
        'kpi_engine.engine_state', 'kpi_engine.scheduler_state'
    ]
    LOOP
        IF to_regclass(v_name) IS NOT NULL THEN
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', to_regclass(v_name)) INTO v_is_empty;
            IF v_is_empty THEN
                RETURN v_name;
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$empty_own_table$;

COMMENT ON FUNCTION kpi_engine.empty_own_table() IS
'The first of our tables that has lost the rows it always has; NULL: none. Internal to the '
'doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.empty_own_table() FROM public;
