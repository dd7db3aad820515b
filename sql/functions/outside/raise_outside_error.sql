-- Raises the error by which a view of another service fails in a refresh, in its own SQLSTATE.
--
-- Invariant: the message names the view and what failed. A cancel of our own session stays one. An
-- error of the view's own rules stays what it is.

CREATE OR REPLACE FUNCTION kpi_engine.raise_outside_error(
    p_view_name text, p_sqlstate text, p_message text, p_detail text, p_context text
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_outside_error$
DECLARE
    -- postgres_fdw gives an error of its server the SQLSTATE that the server gave, and begins the
    -- context with "remote SQL command: SELECT …" in the language of our messages. That alone tells a
    -- timeout there from a cancel here, whose context has statements in quotes.
    v_is_remote constant boolean := p_context
        ~ '^[^\n"«»„“]*: (SELECT|DECLARE|FETCH|MOVE|CLOSE|EXPLAIN|START|COMMIT|SAVEPOINT|SET) ';
    -- A value that has not the type of its column here: 'column "x" of foreign table "y"'.
    v_is_value constant boolean := EXISTS (
        SELECT FROM kpi_engine.outside_sources
        WHERE
            outside_sources.view_name = p_view_name
            AND outside_sources.binding ->> 'kind' = 'f'
            AND strpos(
                split_part(p_context, E'\n', 1), (parse_ident(outside_sources.source_name))[2]
            ) > 0
            AND split_part(p_context, E'\n', 1) !~ '(SELECT|REFRESH|WITH) '
    );
BEGIN
    IF v_is_remote
        OR v_is_value
        OR p_sqlstate ~ '^(08|HV|57P)'
        -- Rights, user mappings, locks: only the outside tables have others' here.
        OR p_sqlstate IN ('42501', '42704', '55P03') THEN
        RAISE EXCEPTION '%', format(
            'the tables of other services of view %s can''t be read: %s (SQLSTATE %s%s)',
            p_view_name, p_message, p_sqlstate, CASE WHEN v_is_remote THEN ' there' END)
            USING ERRCODE = 'TA002',
                  DETAIL = coalesce(p_detail, ''),
                  HINT = 'The view keeps its rows and is tried again by each refresh.';
    END IF;
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_sqlstate, DETAIL = coalesce(p_detail, '');
END;
$raise_outside_error$;

COMMENT ON FUNCTION kpi_engine.raise_outside_error(text, text, text, text, text) IS
'Raises TA002 for an error of an outside table, and any other error as it was. Internal to the '
'refresh.';

REVOKE ALL ON FUNCTION kpi_engine.raise_outside_error(text, text, text, text, text) FROM public;
