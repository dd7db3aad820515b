-- Counts and sums up the rows of the facts, so that a hub can compare them with its mirror.
--
-- Invariant: equal rows give equal sums on any server: the text of a row is hashed, under pinned
-- settings.

CREATE OR REPLACE FUNCTION kpi_engine.facts_checksums(p_site text DEFAULT NULL)
RETURNS TABLE (table_name text, row_count bigint, checksum numeric)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET timezone = 'UTC'
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $facts_checksums$
DECLARE
    v_table record;
BEGIN
    FOR v_table IN
        SELECT
            derived_tables.table_name AS name,
            CASE WHEN p_site IS NULL THEN '' ELSE 'hub_' END || derived_tables.table_name AS relation,
            kpi_engine.column_list(
                CASE WHEN p_site IS NULL THEN derived_tables.key_columns ELSE ARRAY['id'] END || ARRAY(
                    SELECT listed.name FROM unnest(derived_tables.value_columns) AS listed (name)
                    -- A site over several origins has this column. A mirror has not.
                    WHERE listed.name <> 'origen'
                    ORDER BY listed.name COLLATE "C"
                )
            ) AS columns
        FROM kpi_engine.derived_tables
        WHERE derived_tables.upkeep = 'key'
        ORDER BY derived_tables.table_name
    LOOP
        table_name := v_table.name;
        EXECUTE format(
            'SELECT
                 count(*),
                 coalesce(sum((''x'' || left(md5(ROW(%s)::text), 16))::bit(64)::bigint::numeric), 0)
             FROM kpi_engine.%I%s',
            v_table.columns, v_table.relation,
            CASE WHEN p_site IS NULL THEN '' ELSE format(' WHERE site = %L', p_site) END
        ) INTO row_count, checksum;
        RETURN NEXT;
    END LOOP;
END;
$facts_checksums$;

COMMENT ON FUNCTION kpi_engine.facts_checksums(text) IS
'For each table of facts: how many rows, and the sum of their checksums. Here (NULL), or at a hub '
'those of the mirror of a site.';

REVOKE ALL ON FUNCTION kpi_engine.facts_checksums(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.facts_checksums(text) TO analytics_hub;
