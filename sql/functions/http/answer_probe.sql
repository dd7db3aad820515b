-- Answers the gateway: whose fault is a refused request?
--
-- Invariant: the token of this request is right and its role exists, so the fault is not the
-- caller's. A standby refuses each writing transaction before a function of ours begins. The
-- statuses are only for the gateway: 534 on a standby, 535 elsewhere.

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
