-- Reads the parameters of a request if only the database knows which names are right.
--
-- Invariant: the result has each name once. The gateway makes the same check for the paths whose
-- parameters it knows, with the same words.

CREATE OR REPLACE FUNCTION kpi_engine.named_parameters(p_parts text[])
RETURNS jsonb
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $named_parameters$
DECLARE
    v_part text;
    v_name text;
    v_parameters jsonb := '{}'::jsonb;
BEGIN
    FOREACH v_part IN ARRAY p_parts LOOP
        CONTINUE WHEN coalesce(v_part, '') = '';
        v_name := split_part(v_part, '=', 1);
        IF v_part NOT LIKE '%=%' THEN
            PERFORM kpi_engine.raise_http_error(400, CASE
                WHEN v_name ~ '^[A-Za-z0-9_]{1,63}$' THEN format(
                    'parameter %s has no value: it must be sent as name=value', v_name)
                ELSE 'the query string has a part that is not name=value'
            END);
        ELSIF v_parameters ? v_name THEN
            PERFORM kpi_engine.raise_http_error(
                400, format('parameter %s is repeated', left(v_name, 63)));
        END IF;
        v_parameters := v_parameters
            || jsonb_build_object(v_name, substr(v_part, length(v_name) + 2));
    END LOOP;
    RETURN v_parameters;
END;
$named_parameters$;

COMMENT ON FUNCTION kpi_engine.named_parameters(text[]) IS
'The parameters of a request by name, from parts name=value; empty parts are left out. Errors: '
'status 400 for one that has no value or is repeated.';

REVOKE ALL ON FUNCTION kpi_engine.named_parameters(text[]) FROM public;
