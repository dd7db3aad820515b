-- Gives a hub the table that keeps the facts of its sites, and writes the definition over it.
--
-- Invariant: site_<table> is the definition by which the sites compute their facts. The mirror has
-- its columns, and the site of each row. recomputed_<table> reads the mirror at a hub, so the
-- engine does the rest as anywhere. A window is the hub's own: a site that has not refreshed since
-- yesterday still has the rows of yesterday's window. A value is never rounded to a type that a
-- column had before: a present column of another type is an error. A table that is declared anew
-- gets a new mirror. Then each site gives all its rows again.

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
    v_present constant regclass := to_regclass(format('kpi_engine.%I', v_mirror));
    v_column record;
BEGIN
    -- Such as kpi_engine.hub_sites, which is the engine's own.
    IF v_present IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE
            pg_attribute.attrelid = v_present
            AND pg_attribute.attname = 'id'
            AND pg_attribute.attnum = 1
    ) THEN
        RAISE EXCEPTION 'derived table %: the name % is taken: give the table another one',
            p_table_name, v_present
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'At a hub it would be the name of its mirror; nothing was changed.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM kpi_engine.derived_tables
        WHERE derived_tables.table_name = p_table_name AND derived_tables.upkeep = 'key'
    ) THEN
        -- Of a declaration before, which an earlier version forgot without its mirror.
        EXECUTE format('DROP TABLE IF EXISTS kpi_engine.%I', v_mirror);
    END IF;
    IF to_regclass(format('kpi_engine.%I', v_mirror)) IS NULL THEN
        IF EXISTS (SELECT FROM kpi_engine.hub_sites) THEN
            -- One that runs would write its versions over this.
            PERFORM kpi_engine.hold_refresh_lock();
        END IF;
        EXECUTE format(
            'CREATE TABLE kpi_engine.%I (id uuid PRIMARY KEY, site text NOT NULL)', v_mirror);
        UPDATE kpi_engine.hub_sites SET version = NULL, mark = NULL;
    END IF;
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON kpi_engine.%I (site)', v_mirror || '_site', v_mirror);
    FOR v_column IN
        SELECT
            pg_attribute.attname AS name,
            format_type(pg_attribute.atttypid, pg_attribute.atttypmod) AS type,
            format_type(present.atttypid, present.atttypmod) AS present_type,
            coalesce(col_description(v_site, pg_attribute.attnum), '') AS words
        FROM pg_attribute
        LEFT JOIN pg_attribute AS present
            ON
                present.attrelid = to_regclass(format('kpi_engine.%I', v_mirror))
                AND present.attname = pg_attribute.attname
                AND NOT present.attisdropped
        WHERE
            pg_attribute.attrelid = v_site
            AND pg_attribute.attnum > 0
            AND pg_attribute.attname <> p_key_column
        ORDER BY pg_attribute.attnum
    LOOP
        IF v_column.present_type IS NULL THEN
            EXECUTE format(
                'ALTER TABLE kpi_engine.%I ADD COLUMN %I %s',
                v_mirror, v_column.name, v_column.type
            );
        ELSIF v_column.present_type <> v_column.type THEN
            RAISE EXCEPTION 'derived table %: column % is %, and was % before', p_table_name,
                v_column.name, v_column.type, v_column.present_type
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = 'The copy of the sites has that type; nothing was changed.',
                      HINT = 'Cast it to the type that it had, or give the column another name. Or '
                             'take this file and what reads it away, run make migrate, and put them '
                             'back.';
        END IF;
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
'defines the facts there. Errors: 22023 if a column has another type than before, or the name of '
'the mirror is taken. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.make_hub_mirror(text, text) FROM public;
