-- Says for each materialized view whether it has to be refreshed, and why.
--
-- Invariant: a view without a reason holds what its definition gives at this moment, unless it
-- reads tables of other services: only the refresh asks these (kpi_engine.outside_reason). The
-- audit checks that (kpi_engine.audit_views). A view in which it found a difference has a reason
-- until a refresh succeeds. The refresh and analytics.explain_refresh() both decide here. A view
-- that is gone is listed too: it was refreshed before, and its absence is a failure, not less work.

CREATE OR REPLACE FUNCTION kpi_engine.view_staleness()
RETURNS TABLE (
    view_name text,
    relation regclass,
    is_populated boolean,
    has_unique_index boolean,
    has_calculado_at boolean,
    reads_derived_tables boolean,
    reads_settings boolean,
    reads_outside boolean,
    is_void boolean,
    reason text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $view_staleness$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plans: each tick calls this.
    RETURN QUERY
        WITH views AS (
            SELECT listed.*, row_number() OVER () AS position
            FROM kpi_engine.materialized_views() AS listed
        )

        SELECT
            coalesce(views.view_name, view_state.view_name),
            views.relation,
            views.is_populated,
            views.has_unique_index,
            views.has_calculado_at,
            cardinality(views.derived_tables) > 0,
            views.reads_settings,
            coalesce(views.reads_outside, false),
            coalesce(view_state.is_void, false),
            CASE
                WHEN views.view_name IS NULL THEN 'it is gone'
                WHEN NOT views.is_populated THEN 'it was never populated'
                WHEN view_state.last_success_at IS NULL THEN 'it was never refreshed'
                WHEN views.reads_else THEN 'it reads tables whose changes are not noted'
                WHEN views.needed_version > coalesce(view_state.published_version, -1)
                    THEN 'data that it shows changed'
                WHEN
                    EXISTS (
                        SELECT FROM kpi_engine.audit_log AS found
                        WHERE NOT found.is_healed AND found.table_name = views.view_name
                    )
                    THEN 'the audit found wrong cells in it'
                WHEN
                    view_state.calculated_at
                    > greatest(analytics.now(), clock_timestamp()) + kpi_engine.clock_tolerance()
                    THEN 'its calculado_at is in the future: a clock was wrong'
                WHEN views.reads_today AND view_state.today <> analytics.today()
                    THEN 'the local day is another one'
                WHEN
                    views.reads_settings
                    AND view_state.settings_checksum
                    IS DISTINCT FROM kpi_engine.settings_checksum()
                    THEN 'a setting changed'
                WHEN view_state.is_void THEN 'a rule that it follows changed'
                -- Somebody emptied it, and filled it by hand.
                WHEN
                    (
                        SELECT latest.shown_until
                        FROM kpi_engine.publications AS latest
                        WHERE latest.view_name = views.view_name
                        ORDER BY latest.run_id DESC
                        LIMIT 1
                    ) IS NOT NULL
                    THEN 'it was empty'
                -- Such as after a restore.
                WHEN view_state.noted_relation IS DISTINCT FROM views.relation::oid
                    THEN 'the history does not have it yet'
                WHEN
                    NOT (
                        SELECT newest.keeps_rows
                        FROM kpi_engine.publications AS newest
                        WHERE newest.view_name = views.view_name
                        ORDER BY newest.run_id DESC
                        LIMIT 1
                    )
                    AND kpi_engine.history_days(views.view_name) IS DISTINCT FROM 0
                    THEN 'its history begins'
            END
        FROM views
        FULL JOIN kpi_engine.view_state ON view_state.view_name = views.view_name
        ORDER BY views.position NULLS LAST, view_state.view_name;
END;
$view_staleness$;

COMMENT ON FUNCTION kpi_engine.view_staleness() IS
'All materialized views of schema analytics in dependency order, and why each has to be '
'refreshed; NULL if it has not. Other columns as in kpi_engine.materialized_views(). Internal to '
'the refresh and its explanation.';

REVOKE ALL ON FUNCTION kpi_engine.view_staleness() FROM public;
