-- Drops the derived tables whose definition is gone.
--
-- Invariant: if anything still reads such a table, this fails and drops nothing. At a hub, the
-- mirror of such a table goes too, also one that an earlier version left behind. It holds rows of
-- the sites.

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
    v_mirror text;
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
    FOR v_mirror IN
        SELECT pg_class.relname
        FROM pg_class
        INNER JOIN pg_attribute AS first_column
            ON first_column.attrelid = pg_class.oid
            AND first_column.attnum = 1
            AND first_column.attname = 'id'
        INNER JOIN pg_attribute AS second_column
            ON second_column.attrelid = pg_class.oid
            AND second_column.attnum = 2
            AND second_column.attname = 'site'
        WHERE
            kpi_engine.is_hub()
            AND pg_class.relnamespace = 'kpi_engine'::regnamespace
            AND pg_class.relkind = 'r'
            AND starts_with(pg_class.relname, 'hub_')
            AND NOT EXISTS (
                SELECT FROM kpi_engine.derived_tables
                WHERE
                    derived_tables.upkeep = 'key'
                    AND pg_class.relname = 'hub_' || derived_tables.table_name
            )
        ORDER BY pg_class.relname
    LOOP
        EXECUTE format('DROP TABLE kpi_engine.%I', v_mirror);
    END LOOP;
    RETURN v_forgotten;
END;
$forget_derived_tables$;

COMMENT ON FUNCTION kpi_engine.forget_derived_tables() IS
'Drops the derived tables whose view recomputed_<name> has no file any more, and their mirrors at '
'a hub. Returns their names. '
'Errors: 2BP01 if something still reads one. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.forget_derived_tables() FROM public;
