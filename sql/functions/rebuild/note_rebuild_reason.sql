-- Notes that everything has to be computed again.
--
-- Invariant: an unfinished rebuild that was planned before does not clear this reason, and is not
-- continued. The reason that was noted first stays the one that is shown.

CREATE OR REPLACE FUNCTION kpi_engine.note_rebuild_reason(p_reason text)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_rebuild_reason$
    UPDATE kpi_engine.engine_state SET
        rebuild_reason = coalesce(engine_state.rebuild_reason, p_reason),
        reasons_noted = engine_state.reasons_noted + 1;
$note_rebuild_reason$;

COMMENT ON FUNCTION kpi_engine.note_rebuild_reason(text) IS
'Notes why the next refresh has to compute everything again. A rebuild that was planned before '
'does not cover it. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.note_rebuild_reason(text) FROM public;
