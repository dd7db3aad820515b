-- Gives the words of operators that let something of a view pass.
--
-- Invariant: each counts until it is withdrawn. One for once counts until a publish has used it,
-- and only as long as the hold lasts that it accepts: who accepts while the refresh that ends this
-- hold still runs accepts nothing of what comes later.

CREATE OR REPLACE FUNCTION kpi_engine.acceptances_that_count(p_view_name text)
RETURNS SETOF kpi_engine.gate_acceptances
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $acceptances_that_count$
    SELECT accepted.*
    FROM kpi_engine.gate_acceptances AS accepted
    WHERE
        accepted.view_name = p_view_name
        AND accepted.withdrawn_at IS NULL
        AND (
            accepted.how = 'normal'
            OR accepted.used_by_run IS NULL
            AND EXISTS (
                SELECT FROM kpi_engine.gate_holds AS held
                WHERE held.view_name = p_view_name AND held.held_at = accepted.held_at
            )
        );
$acceptances_that_count$;

COMMENT ON FUNCTION kpi_engine.acceptances_that_count(text) IS
'The rows of kpi_engine.gate_acceptances that let findings of this view pass (changes: those of '
'the breaker). Internal to the gate.';

REVOKE ALL ON FUNCTION kpi_engine.acceptances_that_count(text) FROM public;
