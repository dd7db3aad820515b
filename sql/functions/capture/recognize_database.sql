-- Notes which database this is. After a restore from a dump everything is computed again.
--
-- Invariant: only a copy of the files (CREATE DATABASE … TEMPLATE) goes on as if nothing was done.
-- Its src_ views and triggers have the same numbers and row versions, so later changes show as
-- always. After a dump nothing tells whether a row was changed or left out on the way: by options
-- of pg_dump, between its sections, or before it while no tick looked.
-- It comes before kpi_engine.settle_source(), which binds again.

CREATE OR REPLACE FUNCTION kpi_engine.recognize_database()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $recognize_database$
DECLARE
    v_here constant text := kpi_engine.database_identity();
    v_before constant text := (SELECT engine_state.database_identity FROM kpi_engine.engine_state);
    v_problem record;
BEGIN
    IF v_before = v_here THEN
        RETURN;
    ELSIF v_before IS NULL AND NOT EXISTS (SELECT FROM kpi_engine.engine_state) THEN
        PERFORM kpi_engine.raise_incomplete_restore();
    END IF;
    UPDATE kpi_engine.engine_state SET database_identity = v_here;
    IF v_before IS NULL THEN
        RETURN;
    END IF;
    -- The stamps of ticks in the other database. A stamp of this transaction is from here.
    UPDATE kpi_engine.scheduler_state SET last_tick_at = NULL
    WHERE scheduler_state.last_tick_at < transaction_timestamp();
    -- Row versions mean something only in one cluster.
    IF split_part(v_before, '/', 1) = split_part(v_here, '/', 1)
        AND (SELECT engine_state.source_binding FROM kpi_engine.engine_state)
        = (SELECT present.binding FROM kpi_engine.source_now() AS present) THEN
        RETURN;
    END IF;
    SELECT problems.message, problems.hint INTO v_problem
    FROM kpi_engine.server_problems() AS problems
    WHERE problems.is_fatal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'restored into a database that does not fit: %', v_problem.message
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Nothing was changed.',
                  HINT = v_problem.hint;
    END IF;
    -- Numbers of the other database.
    UPDATE kpi_engine.engine_state SET parts_with_rows = NULL;
    UPDATE kpi_engine.view_state SET noted_relation = NULL;
    PERFORM kpi_engine.note_rebuild_reason('restored from a dump');
    RAISE LOG 'teloo-analytics: this database was restored from a dump: the next refresh computes '
        'everything again';
END;
$recognize_database$;

COMMENT ON FUNCTION kpi_engine.recognize_database() IS
'After a restore from a dump notes that everything has to be computed again; a copy of the files '
'goes on. Errors: 55000 if the numbers would be wrong in this database, such as for its locale. '
'Internal to the refresh, the tick and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.recognize_database() FROM public;
