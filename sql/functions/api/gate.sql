-- POST /materialized-views/gate: the word of an operator on what the gate holds back.

CREATE OR REPLACE FUNCTION api.gate(
    view text DEFAULT NULL,
    how text DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS json
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $gate$
DECLARE
    v_how text := kpi_engine.choice_parameter('how', how, 'once', 'normal');
    v_accepted record;
    v_number integer;
BEGIN
    IF coalesce(view, '') = '' THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'view', nullif(view, ''), 'a view that is held back, or changes for the breaker');
    ELSIF view = 'changes' AND v_how = 'normal' THEN
        PERFORM kpi_engine.raise_bad_parameter('how', how, 'once where view is changes');
    ELSIF coalesce(btrim(reason), '') = '' OR length(reason) > 1000 THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'reason', nullif(reason, ''), 'why it is right, in 1 to 1000 characters');
    END IF;
    v_how := coalesce(v_how, 'once');
    v_accepted := kpi_engine.accept_holds(view, v_how, reason);
    v_number := cardinality(v_accepted.findings);
    IF v_number IS NULL THEN
        PERFORM kpi_engine.raise_http_error(
            404,
            format('the gate holds back nothing of %s', left(view, 100)),
            coalesce(
                (
                    SELECT format('It holds back %s.', string_agg(DISTINCT held.view_name, ', '))
                    FROM kpi_engine.gate_holds AS held
                    HAVING count(*) > 0
                ),
                'It holds back nothing at all.'
            )
        );
    END IF;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN json_build_object(
        'success', true,
        'message', format('%s finding(s) of %s accepted', v_number, view),
        'view', view,
        'how', v_how,
        'accepted', v_number,
        'findings', v_accepted.findings
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('gate', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$gate$;

COMMENT ON FUNCTION api.gate(text, text, text) IS
'Accepts what the gate holds back of a view, or what the breaker waits for (view: changes). how: '
'once (default, for the next publish) or normal (from now on the rules compare with these '
'figures; not for changes). reason is kept with the name of the caller. The answer lists what was '
'accepted: a refresh may have found something else since. The next refresh publishes. Error: '
'status 404 if nothing is held back.';

REVOKE ALL ON FUNCTION api.gate(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.gate(text, text, text) TO analytics_operador;
