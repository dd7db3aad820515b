-- Notes how far each subscription and each of several origins is, and with a refresh the facts.
--
-- Invariant: a refresh notes it before it reads the source, so the figures have at least what
-- counted_as_of and facts_counted_as_of say. If the refresh fails, the note is undone with it.

CREATE OR REPLACE FUNCTION kpi_engine.note_origins(p_is_refresh boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_origins$
BEGIN
    PERFORM kpi_engine.note_followed();
    INSERT INTO kpi_engine.origin_marks AS known (origen, as_of, counted_as_of, was_behind)
    SELECT
        states.origen,
        states.as_of,
        CASE WHEN p_is_refresh THEN states.as_of END,
        p_is_refresh AND states.cause IS NOT NULL
    FROM kpi_engine.origin_states() AS states
    ON CONFLICT (origen) DO UPDATE SET
        as_of = excluded.as_of,
        counted_as_of = CASE WHEN p_is_refresh THEN excluded.as_of ELSE known.counted_as_of END,
        was_behind = CASE WHEN p_is_refresh THEN excluded.was_behind ELSE known.was_behind END;
    DELETE FROM kpi_engine.origin_marks
    WHERE origin_marks.origen NOT IN (
        SELECT states.origen FROM kpi_engine.origin_states() AS states
    );
    IF p_is_refresh THEN
        UPDATE kpi_engine.engine_state SET
            facts_as_of = analytics.now(),
            facts_behind = (
                SELECT string_agg(problem.message, '; ') FROM kpi_engine.replica_problem() AS problem
            ),
            facts_counted_as_of = (
                SELECT CASE WHEN count(*) = count(behind.as_of) THEN min(behind.as_of) END
                FROM analytics.replication() AS behind
            );
    END IF;
END;
$note_origins$;

COMMENT ON FUNCTION kpi_engine.note_origins(boolean) IS
'Brings kpi_engine.followed_tables, kpi_engine.subscription_marks and kpi_engine.origin_marks up '
'to date; p_is_refresh: this is what the next figures have. Internal to the tick and the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.note_origins(boolean) FROM public;
