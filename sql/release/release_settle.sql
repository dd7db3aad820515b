-- Brings the rows and comments that follow from the objects up to date.

CREATE FUNCTION pg_temp.release_settle()
RETURNS void
LANGUAGE plpgsql
AS $release_settle$
DECLARE
    v_views constant text[] := ARRAY(
        SELECT release_files.name FROM pg_temp.release_files
        WHERE release_files.kind = 'materialized view'
        ORDER BY release_files.place
    );
    v_statement text;
BEGIN
    -- Views that show our tables to people have the comments of these tables.
    FOREACH v_statement IN ARRAY ARRAY(
        SELECT format(
            'COMMENT ON %s %I.%I%s IS %L',
            CASE WHEN remark.column_name IS NULL THEN 'VIEW' ELSE 'COLUMN' END,
            'analytics', view.relname, '.' || quote_ident(remark.column_name), remark.wanted
        )
        FROM pg_class AS view
        INNER JOIN pg_class AS record
            ON record.relname = view.relname
            AND record.relnamespace = 'kpi_engine'::regnamespace
            AND record.relkind = 'r'
        CROSS JOIN LATERAL (
            SELECT NULL, obj_description(view.oid), obj_description(record.oid)
            UNION ALL
            SELECT
                shown.attname,
                col_description(view.oid, shown.attnum),
                col_description(record.oid, source.attnum)
            FROM pg_attribute AS shown
            INNER JOIN pg_attribute AS source
                ON source.attrelid = record.oid AND source.attname = shown.attname
            WHERE shown.attrelid = view.oid
        ) AS remark (column_name, present, wanted)
        WHERE
            view.relnamespace = 'analytics'::regnamespace
            AND view.relkind = 'v'
            AND remark.present IS DISTINCT FROM remark.wanted
    )
    LOOP
        EXECUTE v_statement;
    END LOOP;

    DELETE FROM kpi_engine.view_state
    WHERE
        view_state.view_name <> ALL (v_views)
        AND view_state.view_name NOT IN (
            SELECT known.view_name FROM kpi_engine.materialized_views() AS known
        );
    INSERT INTO kpi_engine.view_state (view_name, today, calculated_at)
    SELECT wanted.view_name, analytics.today(), analytics.now()
    FROM unnest(v_views) AS wanted (view_name)
    WHERE NOT EXISTS (
        SELECT FROM kpi_engine.view_state WHERE view_state.view_name = wanted.view_name
    );
    IF EXISTS (SELECT FROM pg_temp.release_changes) THEN
        -- Of what is generated, too, the code may be new.
        PERFORM kpi_engine.generate_statements();
    END IF;
    UPDATE kpi_engine.installation SET version = release_run.version
    FROM pg_temp.release_run
    WHERE installation.version IS DISTINCT FROM release_run.version;
    IF FOUND THEN
        INSERT INTO pg_temp.release_changes (change)
        SELECT 'version ' || release_run.version FROM pg_temp.release_run;
    END IF;
END;
$release_settle$;
