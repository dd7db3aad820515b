-- Gives a hub the table that keeps the facts of its sites, and writes the definition over it.
--
-- Invariant: site_<table> is the definition by which the sites compute their facts. The mirror has
-- its columns, and the site of each row. recomputed_<table> reads the mirror at a hub, so the
-- engine does the rest as anywhere. A window is the hub's own: a site that has not refreshed since
-- yesterday still has the rows of yesterday's window.

CREATE OR REPLACE FUNCTION kpi_engine.make_hub_mirror(p_table_name text, p_key_column text)
RETURNS text
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $make_hub_mirror$
DECLARE
    v_mirror constant text := 'hub_' || p_table_name;
    v_site constant regclass := format('kpi_engine.%I', 'site_' || p_table_name)::regclass;
    v_days constant integer := (
        SELECT max(match.parts[1]::integer)
        FROM regexp_matches(pg_get_viewdef(v_site), 'window_end\.today - (\d+)', 'g')
            AS match (parts)
    );
    v_column record;
BEGIN
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS kpi_engine.%I (id uuid PRIMARY KEY, site text NOT NULL)', v_mirror
    );
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON kpi_engine.%I (site)', v_mirror || '_site', v_mirror);
    FOR v_column IN
        SELECT
            pg_attribute.attname AS name,
            format_type(pg_attribute.atttypid, pg_attribute.atttypmod) AS type,
            coalesce(col_description(v_site, pg_attribute.attnum), '') AS words
        FROM pg_attribute
        WHERE
            pg_attribute.attrelid = v_site
            AND pg_attribute.attnum > 0
            AND pg_attribute.attname <> p_key_column
        ORDER BY pg_attribute.attnum
    LOOP
        EXECUTE format(
            'ALTER TABLE kpi_engine.%I ADD COLUMN IF NOT EXISTS %I %s',
            v_mirror, v_column.name, v_column.type
        );
        EXECUTE format(
            'COMMENT ON COLUMN kpi_engine.%I.%I IS %L', v_mirror, v_column.name, v_column.words);
    END LOOP;
    EXECUTE format(
        'COMMENT ON TABLE kpi_engine.%I IS %L', v_mirror,
        format('At a hub: the rows of %s of all sites, as last taken.', p_table_name));
    EXECUTE format(
        'COMMENT ON COLUMN kpi_engine.%I.id IS %L', v_mirror, format('%s there.', p_key_column));
    EXECUTE format('COMMENT ON COLUMN kpi_engine.%I.site IS %L', v_mirror, 'The site that has the row.');
    RETURN (
        SELECT format(
            'SELECT %1$s FROM kpi_engine.%2$I%3$s',
            string_agg(
                CASE
                    WHEN pg_attribute.attname = p_key_column
                        THEN format('%I.id AS %I', v_mirror, p_key_column)
                    ELSE format('%I.%I', v_mirror, pg_attribute.attname)
                END, ', ' ORDER BY pg_attribute.attnum
            ),
            v_mirror,
            CASE
                WHEN v_days IS NULL THEN ''
                ELSE format(
                    ' CROSS JOIN kpi_engine.window_end WHERE %I.local_day >= window_end.today - %s',
                    v_mirror, v_days)
            END
        )
        FROM pg_attribute
        WHERE pg_attribute.attrelid = v_site AND pg_attribute.attnum > 0
    );
END;
$make_hub_mirror$;

COMMENT ON FUNCTION kpi_engine.make_hub_mirror(text, text) IS
'Creates the mirror of a fact table at a hub, or adds its new columns; returns the query that '
'defines the facts there. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.make_hub_mirror(text, text) FROM public;
