-- Removes from the history of each view what the setting publication_history does not keep.
--
-- Invariant: the history still answers for each moment after the cut, and closed periods keep their
-- reported figures.

CREATE OR REPLACE FUNCTION kpi_engine.trim_publications(p_as_of timestamptz)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $trim_publications$
DECLARE
    v_view record;
BEGIN
    FOR v_view IN
        SELECT
            kept.view_name,
            kept.days,
            -- The publish that was shown at the cut.
            (
                SELECT max(publications.run_id)
                FROM kpi_engine.publications
                WHERE
                    publications.view_name = kept.view_name
                    AND publications.published_at <= p_as_of - make_interval(days => kept.days)
            ) AS first_run
        FROM (
            SELECT publications.view_name, kpi_engine.history_days(publications.view_name) AS days
            FROM kpi_engine.publications
            GROUP BY publications.view_name
        ) AS kept
        -- Without any history, a publish removes it.
        WHERE kept.days > 0
    LOOP
        DELETE FROM kpi_engine.published_rows AS old
        WHERE
            old.view_name = v_view.view_name
            AND old.run_id <= v_view.first_run
            AND EXISTS (
                SELECT FROM kpi_engine.published_rows AS newer
                WHERE
                    newer.view_name = old.view_name
                    AND newer.row_key = old.row_key
                    AND newer.run_id > old.run_id
                    AND newer.run_id <= v_view.first_run
            )
            -- The reported version of a closed period.
            AND NOT EXISTS (
                SELECT FROM kpi_engine.closings
                WHERE
                    closings.view_name = old.view_name
                    AND closings.period = old.period
                    AND closings.run_id >= old.run_id
                    AND NOT EXISTS (
                        SELECT FROM kpi_engine.published_rows AS newer
                        WHERE
                            newer.view_name = old.view_name
                            AND newer.row_key = old.row_key
                            AND newer.run_id > old.run_id
                            AND newer.run_id <= closings.run_id
                    )
            );
        -- That a row is gone says nothing where no earlier version of it is left.
        DELETE FROM kpi_engine.published_rows AS gone
        WHERE
            gone.view_name = v_view.view_name
            AND gone.run_id <= v_view.first_run
            AND gone.row_values IS NULL
            AND NOT EXISTS (
                SELECT FROM kpi_engine.published_rows AS earlier
                WHERE
                    earlier.view_name = gone.view_name
                    AND earlier.row_key = gone.row_key
                    AND earlier.run_id < gone.run_id
            );
        DELETE FROM kpi_engine.publications
        WHERE
            publications.view_name = v_view.view_name
            AND publications.run_id < v_view.first_run;
    END LOOP;
    -- A publish without a change says nothing after a day: with target_lag there may be thousands.
    DELETE FROM kpi_engine.publications AS idle
    WHERE
        idle.rows_changed = 0
        AND idle.published_at < p_as_of - interval '1 day'
        AND idle.shown_until IS NULL
        -- Its rows have another calculado_at than before.
        AND idle.calculated_at IS NOT DISTINCT FROM (
            SELECT before.calculated_at
            FROM kpi_engine.publications AS before
            WHERE before.view_name = idle.view_name AND before.run_id < idle.run_id
            ORDER BY before.run_id DESC
            LIMIT 1
        )
        -- With it the view came back.
        AND NOT EXISTS (
            SELECT FROM kpi_engine.publications AS ended
            WHERE
                ended.view_name = idle.view_name
                AND ended.shown_until IS NOT NULL
                AND ended.run_id = (
                    SELECT max(before.run_id)
                    FROM kpi_engine.publications AS before
                    WHERE before.view_name = idle.view_name AND before.run_id < idle.run_id
                )
        )
        AND EXISTS (
            SELECT FROM kpi_engine.publications AS earlier
            WHERE
                earlier.view_name = idle.view_name
                AND earlier.run_id < idle.run_id
                AND earlier.keeps_rows = idle.keeps_rows
        )
        AND EXISTS (
            SELECT FROM kpi_engine.publications AS later
            WHERE later.view_name = idle.view_name AND later.run_id > idle.run_id
        )
        AND NOT EXISTS (
            SELECT FROM kpi_engine.closings
            WHERE closings.view_name = idle.view_name AND closings.run_id = idle.run_id
        );
    -- What figures lacked before the history begins.
    DELETE FROM kpi_engine.partial_spans
    WHERE
        partial_spans.ended_at < (
            SELECT least(min(publications.published_at), p_as_of - interval '1 day')
            FROM kpi_engine.publications
        );
END;
$trim_publications$;

COMMENT ON FUNCTION kpi_engine.trim_publications(timestamptz) IS
'Removes the history of views that is older than the setting publication_history says, counted '
'from p_as_of, each publish that changed nothing after a day, and what figures lacked before. '
'Internal to '
'kpi_engine.trim_logs().';

REVOKE ALL ON FUNCTION kpi_engine.trim_publications(timestamptz) FROM public;
