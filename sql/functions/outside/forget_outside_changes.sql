-- Removes the notes of outside tables that no declaration names any more.
--
-- Invariant: no note of a declared table is lost. A table that was renamed, or that came in a dump,
-- is known neither by its name nor by its number. Then its declaration is marked as changed.
-- The triggers of such a table stay until its owner calls analytics.watch_outside_sources().

CREATE OR REPLACE FUNCTION kpi_engine.forget_outside_changes()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $forget_outside_changes$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kpi_engine.outside_changes
        WHERE outside_changes.source_relation NOT IN (
            SELECT outside_sources.source_relation FROM kpi_engine.outside_sources
        )
    ) THEN
        RETURN;
    END IF;
    WITH forgotten AS (
        DELETE FROM kpi_engine.outside_changes
        WHERE NOT EXISTS (
            SELECT FROM kpi_engine.outside_sources
            WHERE outside_changes.source_relation IN (
                outside_sources.source_relation,
                kpi_engine.outside_relation(outside_sources.source_name)
            )
        )
        RETURNING outside_changes.source_relation
    )

    UPDATE kpi_engine.outside_sources SET is_changed = true
    WHERE
        NOT outside_sources.is_changed
        AND EXISTS (SELECT FROM forgotten)
        AND kpi_engine.outside_relation(outside_sources.source_name)
        IS DISTINCT FROM outside_sources.source_relation;
    -- What this transaction writes from now on is noted again.
    PERFORM set_config('analytics.outside_noted', '', true);
END;
$forget_outside_changes$;

COMMENT ON FUNCTION kpi_engine.forget_outside_changes() IS
'Removes from kpi_engine.outside_changes the notes of tables that no declaration names any more. '
'Internal to analytics.tick() and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.forget_outside_changes() FROM public;
