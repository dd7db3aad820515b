-- Brings the rows and COMMENTs that follow from the objects up to date.
--
-- Invariant: kpi_engine.view_state has a row for each of these views, with the checksum of its
-- rules, and none for a view that is gone. One whose rules changed is void until the next refresh.
-- A view that shows a table of ours to people has the COMMENTs of that table.

CREATE OR REPLACE FUNCTION kpi_engine.settle_objects(p_views text[], p_rules text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $settle_objects$
DECLARE
    v_statement text;
BEGIN
    FOREACH v_statement IN ARRAY ARRAY(
        SELECT format(
            'COMMENT ON %s analytics.%I%s IS %L',
            CASE WHEN remark.column_name IS NULL THEN 'VIEW' ELSE 'COLUMN' END,
            view.relname, '.' || quote_ident(remark.column_name), remark.wanted
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

    PERFORM kpi_engine.retire_view(view_state.view_name)
    FROM kpi_engine.view_state
    WHERE
        view_state.view_name <> ALL (p_views)
        AND view_state.view_name NOT IN (
            SELECT known.view_name FROM kpi_engine.materialized_views() AS known
        );
    -- Somebody dropped or emptied it; the next refresh fills it.
    PERFORM kpi_engine.end_publication(view_state.view_name, false)
    FROM kpi_engine.view_state
    LEFT JOIN pg_class
        ON pg_class.oid = to_regclass(format('analytics.%I', view_state.view_name))
    WHERE view_state.last_success_at IS NOT NULL AND pg_class.relispopulated IS NOT TRUE;
    INSERT INTO kpi_engine.view_state AS known (view_name, today, calculated_at, rules_checksum)
    SELECT wanted.view_name, analytics.today(), analytics.now(), wanted.checksum
    FROM unnest(p_views, p_rules) AS wanted (view_name, checksum)
    ON CONFLICT (view_name) DO UPDATE SET
        is_void = known.is_void OR known.last_success_at IS NOT NULL,
        rules_checksum = excluded.rules_checksum
    WHERE known.rules_checksum IS DISTINCT FROM excluded.rules_checksum;
END;
$settle_objects$;

COMMENT ON FUNCTION kpi_engine.settle_objects(text[], text[]) IS
'Gives each of these materialized views a row in kpi_engine.view_state, and the views of our '
'tables the COMMENTs of the tables. p_rules: for each view, the checksum of its rules. Internal to '
'make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.settle_objects(text[], text[]) FROM public;
