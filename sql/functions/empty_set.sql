-- Empties the tables of a set that nobody reads, but for those to be kept.

CREATE OR REPLACE FUNCTION analytics.empty_set(p_suffix text, p_kept_tables text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $empty_set$
BEGIN
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(
            format('analytics.%I', derived_tables.table_name || p_suffix), ', '
            ORDER BY derived_tables.table_name
        )
        FROM analytics.derived_tables
        WHERE derived_tables.table_name <> ALL (p_kept_tables)
    );
END;
$empty_set$;

COMMENT ON FUNCTION analytics.empty_set(text, text[]) IS
'Empties the derived tables of the set (suffix _a or _b) that the views do not show, but for '
'p_kept_tables. Internal to the rebuild.';

REVOKE ALL ON FUNCTION analytics.empty_set(text, text[]) FROM public;
