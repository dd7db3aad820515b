-- Gives the words of operators that let something of a view pass.
--
-- Invariant: each counts until it is withdrawn. An acceptance for one publish (how = once) counts
-- until a publish has used it, or until its hold ends. If an operator accepts while the refresh
-- that ends the hold still runs, the acceptance lets nothing pass later.

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
