-- Uses up the acceptances for once, when what they let pass is published.

CREATE OR REPLACE FUNCTION kpi_engine.use_acceptances(p_view_name text, p_run_id bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $use_acceptances$
BEGIN
    -- PL/pgSQL keeps the plans: each publish calls this.
    UPDATE kpi_engine.gate_acceptances
    SET used_by_run = coalesce(p_run_id, nextval('kpi_engine.refresh_run_id_seq'))
    WHERE
        gate_acceptances.view_name = p_view_name
        AND gate_acceptances.how = 'once'
        AND gate_acceptances.used_by_run IS NULL
        AND gate_acceptances.withdrawn_at IS NULL;
    DELETE FROM kpi_engine.gate_holds WHERE gate_holds.view_name = p_view_name;
END;
$use_acceptances$;

COMMENT ON FUNCTION kpi_engine.use_acceptances(text, bigint) IS
'Marks the open acceptances of a view (or of changes) as used by a run, and removes its holds. '
'p_run_id NULL: a rebuild used them, and the mark is a number of its own. Internal to the refresh '
'and the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.use_acceptances(text, bigint) FROM public;
