-- Says what the history of a view has at a moment, in words.

CREATE OR REPLACE FUNCTION kpi_engine.history_around(p_view_name text, p_at timestamptz)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $history_around$
    SELECT CASE
        WHEN kpi_engine.history_days(p_view_name) = 0
            THEN 'The setting publication_history keeps no history of this view.'
        WHEN known.begins_at IS NULL
            THEN 'It has no publish yet: SELECT * FROM refresh_all_mv();'
        -- The setting kept none until now.
        WHEN NOT known.keeps_rows
            THEN 'It begins with the next refresh: SELECT * FROM refresh_all_mv();'
        WHEN gap.shown_until <= p_at AND gap.ends_at IS NULL
            THEN format(
                'The view was taken away at %s and shows nothing yet: '
                'SELECT * FROM refresh_all_mv();',
                kpi_engine.iso_instant(gap.shown_until)
            )
        WHEN gap.shown_until <= p_at
            THEN format(
                'It has nothing from %s, when the view was taken away, to %s.',
                kpi_engine.iso_instant(gap.shown_until),
                kpi_engine.iso_instant(gap.ends_at)
            )
        ELSE format('It begins at %s.', kpi_engine.iso_instant(known.begins_at))
    END
    FROM (
        SELECT
            min(publications.published_at) AS begins_at,
            bool_and(publications.keeps_rows) AS keeps_rows
        FROM kpi_engine.publications
        WHERE publications.view_name = p_view_name
    ) AS known
    LEFT JOIN LATERAL (
        SELECT
            before.shown_until,
            (
                SELECT min(after.published_at)
                FROM kpi_engine.publications AS after
                WHERE after.view_name = p_view_name AND after.run_id > before.run_id
            ) AS ends_at
        FROM kpi_engine.publications AS before
        WHERE before.view_name = p_view_name AND before.published_at <= p_at
        ORDER BY before.published_at DESC, before.run_id DESC
        LIMIT 1
    ) AS gap ON true;
$history_around$;

COMMENT ON FUNCTION kpi_engine.history_around(text, timestamptz) IS
'Since when the history of a view is kept, or why it has nothing at p_at (NULL: at any moment): a '
'sentence. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.history_around(text, timestamptz) FROM public;
