-- Notes how far each subscription and each of several origins is, and with a refresh the facts.
--
-- Invariant: a refresh notes it before it reads the source, so the figures have at least what
-- counted_as_of and facts_counted_as_of say. If the refresh fails, the note is undone with it.
-- A tick notes nothing where there is neither a subscription nor a second origin, and nothing while
-- a refresh has not committed its own note: it would wait for that row.
-- A tick ends the mark of an origin that was behind at the last refresh, if all that the publisher
-- had after that refresh has come (as_of), and no change is pending: then the figures have it.
-- A tick begins the mark of an origin that is new here and behind: the figures have nothing of it.
-- Both note what the figures lack for answers about the past (kpi_engine.note_partial).

CREATE OR REPLACE FUNCTION kpi_engine.note_origins(p_is_refresh boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_origins$
BEGIN
    IF p_is_refresh THEN
        PERFORM FROM kpi_engine.engine_state FOR NO KEY UPDATE;
    ELSE
        PERFORM FROM kpi_engine.engine_state
        WHERE
            engine_state.facts_behind IS NOT NULL
            OR EXISTS (SELECT FROM pg_subscription_rel)
            OR EXISTS (SELECT FROM kpi_engine.followed_tables)
            OR EXISTS (SELECT FROM kpi_engine.origins)
            OR EXISTS (SELECT FROM kpi_engine.partial_spans WHERE partial_spans.ended_at IS NULL)
        FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    PERFORM kpi_engine.note_followed();
    -- One look: a busy worker is waited for.
    WITH states AS MATERIALIZED (
        SELECT * FROM kpi_engine.origin_states()
    ),

    gone AS (
        DELETE FROM kpi_engine.origin_marks
        WHERE origin_marks.origen NOT IN (SELECT states.origen FROM states)
    )

    INSERT INTO kpi_engine.origin_marks AS known (origen, as_of, counted_as_of, was_behind)
    SELECT
        states.origen,
        states.as_of,
        CASE WHEN p_is_refresh THEN states.as_of END,
        states.cause IS NOT NULL
    FROM states
    ON CONFLICT (origen) DO UPDATE SET
        as_of = excluded.as_of,
        counted_as_of = CASE WHEN p_is_refresh THEN excluded.as_of ELSE known.counted_as_of END,
        was_behind = CASE WHEN p_is_refresh THEN excluded.was_behind ELSE known.was_behind END;
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
    ELSIF (
            EXISTS (SELECT FROM kpi_engine.origin_marks WHERE origin_marks.was_behind)
            OR EXISTS (SELECT FROM kpi_engine.engine_state WHERE engine_state.facts_behind IS NOT NULL)
        )
        -- After the look: what came before it is seen.
        AND NOT (SELECT waiting.is_waiting FROM kpi_engine.change_wait() AS waiting)
        AND kpi_engine.next_rebuild_reason() IS NULL
    THEN
        UPDATE kpi_engine.origin_marks SET was_behind = false
        FROM kpi_engine.engine_state
        WHERE origin_marks.was_behind AND origin_marks.as_of > engine_state.facts_as_of;
        UPDATE kpi_engine.engine_state SET facts_behind = NULL
        WHERE
            engine_state.facts_behind IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM kpi_engine.subscription_marks AS known
                WHERE known.as_of IS NULL OR known.as_of <= engine_state.facts_as_of
            )
            AND NOT EXISTS (SELECT FROM kpi_engine.replica_problem());
    END IF;
    PERFORM kpi_engine.note_partial(p_is_refresh);
END;
$note_origins$;

COMMENT ON FUNCTION kpi_engine.note_origins(boolean) IS
'Brings kpi_engine.followed_tables, kpi_engine.subscription_marks, kpi_engine.origin_marks and '
'kpi_engine.partial_spans up to date; p_is_refresh: this is what the next figures have. Internal '
'to the tick and the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.note_origins(boolean) FROM public;
