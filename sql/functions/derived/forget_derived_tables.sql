-- Drops the derived tables whose definition is gone.
--
-- Invariant: if anything still reads such a table, this fails and drops nothing.

CREATE OR REPLACE FUNCTION kpi_engine.forget_derived_tables()
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $forget_derived_tables$
DECLARE
    v_forgotten constant text[] := ARRAY(
        SELECT derived_tables.table_name
        FROM kpi_engine.derived_tables
        WHERE
            to_regclass(format('kpi_engine.%I', 'recomputed_' || derived_tables.table_name)) IS NULL
        ORDER BY derived_tables.depth DESC, derived_tables.table_name
    );
    v_table_name text;
BEGIN
    FOREACH v_table_name IN ARRAY v_forgotten LOOP
        EXECUTE format('DROP VIEW kpi_engine.%I', v_table_name);
        EXECUTE format(
            'DROP TABLE kpi_engine.%I, kpi_engine.%I, kpi_engine.%I',
            v_table_name || '_a', v_table_name || '_b', 'changed_' || v_table_name
        );
        DELETE FROM kpi_engine.derived_rules WHERE derived_rules.table_name = v_table_name;
        DELETE FROM kpi_engine.derived_tables WHERE derived_tables.table_name = v_table_name;
    END LOOP;
    RETURN v_forgotten;
END;
$forget_derived_tables$;

COMMENT ON FUNCTION kpi_engine.forget_derived_tables() IS
'Drops the derived tables whose view recomputed_<name> has no file any more. Returns their names. '
'Errors: 2BP01 if something still reads one. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.forget_derived_tables() FROM public;
