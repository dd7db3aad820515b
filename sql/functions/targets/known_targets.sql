-- Lists the targets, with what follows from the catalogue.
--
-- Invariant: each target is a row. A target whose view or column is gone, or is no number any
-- more, says so in stale. The direction of the catalogue goes before the stored one.

CREATE OR REPLACE FUNCTION kpi_engine.known_targets(p_view_name text DEFAULT NULL)
RETURNS TABLE (
    target_id bigint,
    view_name text,
    column_name text,
    label_es text,
    first_period date,
    next_from date,
    value numeric,
    better text,
    set_by text,
    set_at timestamptz,
    stale text
)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $known_targets$
    SELECT
        targets.target_id,
        targets.view_name,
        targets.column_name,
        kpi_column.label_es,
        targets.first_period,
        lead(targets.first_period) OVER one_column,
        targets.value,
        coalesce(nullif(kpi_column.better, 'none'), targets.better),
        targets.set_by,
        targets.set_at,
        CASE
            WHEN kpi.view_name IS NULL THEN format('there is no KPI view %s', targets.view_name)
            WHEN kpi_column.column_name IS NULL
                THEN format('%s has no column %s', targets.view_name, targets.column_name)
            WHEN NOT kpi_column.is_number
                THEN format('column %s of %s is no number', targets.column_name, targets.view_name)
            WHEN kpi_column.better = 'none' AND targets.better IS NULL
                THEN format(
                    'column %s of %s has no direction in the catalogue any more',
                    targets.column_name, targets.view_name
                )
        END
    FROM kpi_engine.targets
    -- Each view is looked up once, not once for each of its targets.
    LEFT JOIN (
        SELECT found.view_name, found.relation
        FROM (
            SELECT DISTINCT targets.view_name
            FROM kpi_engine.targets
            WHERE p_view_name IS NULL OR targets.view_name = p_view_name
        ) AS wanted
        CROSS JOIN LATERAL kpi_engine.kpi_views(wanted.view_name) AS found
    ) AS kpi ON kpi.view_name = targets.view_name
    LEFT JOIN LATERAL kpi_engine.kpi_columns(kpi.relation) AS kpi_column
        ON kpi_column.column_name = targets.column_name
    WHERE p_view_name IS NULL OR targets.view_name = p_view_name
    WINDOW one_column AS (
        PARTITION BY targets.view_name, targets.column_name ORDER BY targets.first_period
    )
    ORDER BY targets.view_name, targets.column_name, targets.first_period;
$known_targets$;

COMMENT ON FUNCTION kpi_engine.known_targets(text) IS
'All targets, or those of a view: better is the direction that counts, next_from the first period '
'of the next target of the column, stale why the target can''t be compared with anything. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.known_targets(text) FROM public;
