-- Names the active set of a derived table, or the set that an unfinished rebuild fills.

CREATE OR REPLACE FUNCTION kpi_engine.set_of(p_table_name text, p_rebuilt boolean)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $set_of$
    SELECT
        derived_tables.table_name || '_'
        || CASE
            WHEN p_rebuilt THEN translate(derived_tables.active_set, 'ab', 'ba')
            ELSE derived_tables.active_set
        END
    FROM kpi_engine.derived_tables
    WHERE derived_tables.table_name = p_table_name;
$set_of$;

COMMENT ON FUNCTION kpi_engine.set_of(text, boolean) IS
'Name of the table behind a derived table: the one that its view shows, or with p_rebuilt the '
'other one, which a rebuild fills. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.set_of(text, boolean) FROM public;
