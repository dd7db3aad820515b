-- Finds a column, by which a request filters or fills, that the history does not have.
--
-- Invariant: NULL if each publish that the answer shows had all these columns, with values of the
-- kind that they have now. A filter by another one would leave its rows out, as if there were none,
-- and fill=true would write zeros instead of them. What a text column has now was text or fits it.

CREATE OR REPLACE FUNCTION kpi_engine.column_without_history(
    p_view_name text, p_columns text[], p_run_id bigint, p_from date, p_to date
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $column_without_history$
    SELECT wanted.name
    FROM (
        SELECT p_run_id AS run_id
        WHERE p_run_id IS NOT NULL
        UNION
        SELECT closings.run_id
        FROM kpi_engine.closings
        WHERE
            p_run_id IS NULL
            AND closings.view_name = p_view_name
            AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
            AND closings.period >= coalesce(p_from, '-infinity')
            AND closings.period <= coalesce(p_to, 'infinity')
    ) AS shown
    CROSS JOIN LATERAL (
        SELECT known.column_names, known.column_kinds
        FROM kpi_engine.published_layouts AS known
        WHERE known.view_name = p_view_name AND known.run_id <= shown.run_id
        ORDER BY known.run_id DESC
        LIMIT 1
    ) AS layout
    CROSS JOIN LATERAL (
        SELECT newest.column_names, newest.column_kinds
        FROM kpi_engine.published_layouts AS newest
        WHERE newest.view_name = p_view_name
        ORDER BY newest.run_id DESC
        LIMIT 1
    ) AS latest
    CROSS JOIN unnest(p_columns) AS wanted (name)
    WHERE NOT EXISTS (
        SELECT FROM unnest(layout.column_names, layout.column_kinds) AS had (name, kind)
        LEFT JOIN unnest(latest.column_names, latest.column_kinds) AS has (name, kind)
            ON has.name = had.name
        WHERE had.name = wanted.name AND coalesce(has.kind IN ('text', had.kind), true)
    )
    LIMIT 1;
$column_without_history$;

COMMENT ON FUNCTION kpi_engine.column_without_history(text, text[], bigint, date, date) IS
'One of these columns of a view that it did not have, or had with values of another kind, at the '
'publish p_run_id, or, where that is NULL, when a period from p_from to p_to closed. NULL: there '
'is none. Internal to kpi_engine.kpi_rows().';

REVOKE ALL ON FUNCTION kpi_engine.column_without_history(text, text[], bigint, date, date)
FROM public;
