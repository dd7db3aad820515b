-- Answers the gateway's question whose fault a refused request is.
--
-- Invariant: who comes here has a token that is right, and a role that exists: the fault is not the
-- caller's. On a standby every transaction that writes is refused before a function of ours begins.
-- The statuses are for the gateway alone: 534 on a standby, 535 elsewhere.

CREATE OR REPLACE FUNCTION kpi_engine.answer_probe()
RETURNS void
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $answer_probe$
    SELECT kpi_engine.raise_http_error(
        CASE WHEN pg_is_in_recovery() THEN 534 ELSE 535 END,
        'this answer is for the gateway'
    );
$answer_probe$;

COMMENT ON FUNCTION kpi_engine.answer_probe() IS
'Ends a request that the gateway sends to learn whose fault another one was: status 534 on a '
'standby, 535 elsewhere. Raises SQLSTATE PGRST.';

REVOKE ALL ON FUNCTION kpi_engine.answer_probe() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.answer_probe()
TO analytics_anon, analytics_lector, analytics_operador;
