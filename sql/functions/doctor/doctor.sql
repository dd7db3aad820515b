-- Checks everything about an installation that SQL can see, for people with psql alone.
--
-- Invariant: it changes nothing, so it works in a READ ONLY transaction and on a standby.
-- kpi_engine.doctor_check() runs each check. So a check that fails, or waits for a lock, stops no
-- other one. One statement_timeout is for all checks. The check that it ends, and the checks that
-- get no time, are findings. The order of the rows follows from the findings alone.
-- SECURITY INVOKER: a superuser sees here what PostgreSQL shows to superusers only.

CREATE OR REPLACE FUNCTION analytics.doctor(
    p_group text DEFAULT NULL,
    p_counts boolean DEFAULT true,
    p_production boolean DEFAULT false,
    p_pool integer DEFAULT 24,
    -- A default is computed with the search_path of the caller, before the one below is set.
    p_default_path text DEFAULT kpi_engine.default_search_path()
)
RETURNS TABLE (
    group_name text,
    check_name text,
    status text,
    message text,
    statement text,
    cause text
)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $doctor$
#variable_conflict use_column
DECLARE
    v_ends_at constant timestamptz := statement_timestamp() + (
        SELECT nullif(pg_settings.setting::integer, 0) * interval '1 millisecond'
        FROM pg_settings
        WHERE pg_settings.name = 'statement_timeout'
    );
    v_groups constant text[] := (
        SELECT array_agg(DISTINCT checks.group_name) FROM kpi_engine.doctor_checks() AS checks
    );
    v_is_empty constant boolean := (
        SELECT bool_or(found.status = 'wrong') FROM kpi_engine.doctor_check('data') AS found
    );
    v_check record;
    v_answer jsonb;
    v_findings jsonb := jsonb_build_array();
BEGIN
    IF p_group <> ALL (v_groups) THEN
        RAISE EXCEPTION 'p_group must be the name of a group of checks'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %L.', p_group),
                  HINT = format('One of: %s; or omit it.', array_to_string(v_groups, ', '));
    END IF;
    FOR v_check IN
        SELECT checks.*
        FROM kpi_engine.doctor_checks() AS checks
        WHERE checks.group_name = p_group OR p_group IS NULL
        ORDER BY checks.place
    LOOP
        IF v_is_empty AND v_check.needs_data THEN
            v_answer := jsonb_build_array(jsonb_build_object(
                'status', 'unchecked',
                'message', 'the package was restored without its data: see check data'
            ));
        ELSIF clock_timestamp() >= v_ends_at THEN
            v_answer := jsonb_build_array(jsonb_build_object(
                'status', 'unchecked',
                'message', 'no time was left for it: statement_timeout is for all checks',
                'fixes', jsonb_build_array(
                    format('SELECT * FROM analytics.doctor(%L);', v_check.group_name)
                )
            ));
        ELSE
            SELECT jsonb_agg(to_jsonb(found)) INTO v_answer
            FROM kpi_engine.doctor_check(
                v_check.check_name, p_counts, p_production, p_pool, p_default_path
            ) AS found;
        END IF;
        SELECT v_findings || jsonb_agg(
            jsonb_build_object('group', v_check.group_name, 'check', v_check.check_name)
            || answer.finding
        ) INTO v_findings
        FROM jsonb_array_elements(v_answer) AS answer (finding)
        WHERE
            -- ok is shown only if a check has no other finding.
            answer.finding ->> 'status' <> 'ok'
            OR NOT jsonb_path_exists(v_answer, '$[*] ? (@.status != "ok")');
    END LOOP;
    RETURN QUERY
        SELECT
            finding.value ->> 'group',
            finding.value ->> 'check',
            finding.value ->> 'status',
            nullif(finding.value ->> 'message', ''),
            (
                SELECT string_agg(fix.line, E'\n' ORDER BY fix.place)
                FROM jsonb_array_elements_text(finding.value -> 'fixes')
                    WITH ORDINALITY AS fix (line, place)
            ),
            (v_findings -> (causes.cause - 1)::integer ->> 'check')
            || ': ' || (v_findings -> (causes.cause - 1)::integer ->> 'message')
        FROM jsonb_array_elements(v_findings) WITH ORDINALITY AS finding (value, number)
        INNER JOIN kpi_engine.doctor_causes(v_findings) AS causes USING (number)
        ORDER BY causes.place;
END;
$doctor$;

COMMENT ON FUNCTION analytics.doctor(text, boolean, boolean, integer, text) IS
'Checks everything about the installation that SQL can see, and changes nothing. status: wrong '
'(mend it), warning, advice, unchecked (the doctor could not see it), failed (the check itself), '
'ok. statement: mends it; paste it into psql; a comment with -- $ is a command for a shell, '
'another comment is work by hand. cause: the finding that caused this one; causes come first. '
'p_group: only one group. p_counts: false leaves out checks that count rows. p_production: also '
'the checks that matter in production only. p_pool: connections of the HTTP API (API_POOL). '
'p_default_path: the search_path of a database that sets none. Errors: 22023 for another group.';

REVOKE ALL ON FUNCTION analytics.doctor(text, boolean, boolean, integer, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.doctor(text, boolean, boolean, integer, text)
TO analytics_operador;
