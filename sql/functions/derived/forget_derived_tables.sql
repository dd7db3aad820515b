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
    v_readers text;
BEGIN
    FOREACH v_table_name IN ARRAY v_forgotten LOOP
        SELECT reading.readers INTO v_readers
        FROM kpi_engine.derived_table_readers() AS reading
        WHERE reading.table_name = v_table_name;
        IF v_readers IS NOT NULL THEN
            RAISE EXCEPTION 'derived table % has no file any more, and % reads it',
                v_table_name, v_readers
                USING ERRCODE = 'dependent_objects_still_exist',
                      DETAIL = 'Nothing was changed.',
                      HINT = format(
                          'Take what reads it away too, or put recomputed_%s.sql back.',
                          v_table_name);
        END IF;
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
