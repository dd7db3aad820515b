-- Makes one check of the doctor. Each result of it is a finding.
--
-- Invariant: it gives at least one row. It raises only if somebody cancels the statement, or for a
-- name that is no check. The check runs in a subtransaction. It waits two seconds for a lock. It
-- has no time limit of its own, because PostgreSQL has none inside a statement. A statement_timeout
-- that ends it is a finding. make doctor calls this once for each check, so there each check has a
-- limit.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_check(
    p_check text,
    p_counts boolean DEFAULT true,
    p_production boolean DEFAULT false,
    p_pool integer DEFAULT 24,
    p_default_path text DEFAULT kpi_engine.default_search_path()
)
RETURNS TABLE (status text, message text, fixes text[])
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
SET lock_timeout = '2s'
AS $doctor_check$
#variable_conflict use_column
DECLARE
    v_limit constant interval := (
        SELECT nullif(pg_settings.setting::integer, 0) * interval '1 millisecond'
        FROM pg_settings
        WHERE pg_settings.name = 'statement_timeout'
    );
    v_check record;
    v_is_owners boolean;
BEGIN
    SELECT checks.* INTO v_check
    FROM kpi_engine.doctor_checks() AS checks
    WHERE checks.check_name = p_check;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'p_check must be the name of a check'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %L.', p_check),
                  HINT = 'SELECT check_name FROM kpi_engine.doctor_checks(); lists them.';
    END IF;
    -- There is no such role if somebody renamed it: check attributes says so.
    v_is_owners := v_check.is_owners
    AND coalesce(pg_has_role(to_regrole('analytics_owner')::oid, 'USAGE'), false);
    BEGIN
        CASE
            WHEN v_check.check_name = 'pg_cron' THEN
                RETURN QUERY SELECT found.* FROM kpi_engine.doctor_cron() AS found;
            WHEN v_check.group_name = 'server' THEN
                RETURN QUERY SELECT found.* FROM kpi_engine.doctor_server(p_check, p_pool) AS found;
            WHEN v_check.group_name = 'installation' THEN
                RETURN QUERY
                    SELECT found.* FROM kpi_engine.doctor_installation(p_check, p_default_path) AS found;
            WHEN v_check.group_name = 'roles' THEN
                RETURN QUERY SELECT found.* FROM kpi_engine.doctor_roles(p_check) AS found;
            WHEN v_check.group_name = 'settings' THEN
                RETURN QUERY
                    SELECT found.* FROM kpi_engine.doctor_settings(p_check, p_production) AS found;
            WHEN v_check.group_name = 'source' THEN
                RETURN QUERY SELECT found.* FROM kpi_engine.doctor_source(p_check, p_counts) AS found;
            WHEN v_check.group_name = 'schedule' THEN
                RETURN QUERY SELECT found.* FROM kpi_engine.doctor_schedule(p_check) AS found;
            WHEN v_check.group_name = 'refresh' THEN
                RETURN QUERY SELECT found.* FROM kpi_engine.doctor_refresh(p_check, p_counts) AS found;
            WHEN v_check.group_name = 'storage' THEN
                RETURN QUERY SELECT found.* FROM kpi_engine.doctor_storage(p_check) AS found;
        END CASE;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'ok', '', ARRAY[]::text[];
        END IF;
    EXCEPTION
        WHEN query_canceled THEN
            -- The server counts from a moment after statement_timestamp().
            IF clock_timestamp() + interval '1 second' > statement_timestamp() + v_limit THEN
                RETURN QUERY
                    SELECT found.*
                    FROM kpi_engine.doctor_error(
                        SQLSTATE, SQLERRM, current_user, v_is_owners,
                        extract(EPOCH FROM v_limit)::numeric
                    ) AS found;
            ELSE
                RAISE;
            END IF;
        WHEN OTHERS THEN
            RETURN QUERY
                SELECT found.*
                FROM kpi_engine.doctor_error(
                    SQLSTATE, SQLERRM, current_user, v_is_owners, 0
                ) AS found;
    END;
END;
$doctor_check$;

COMMENT ON FUNCTION kpi_engine.doctor_check(text, boolean, boolean, integer, text) IS
'Makes one check of kpi_engine.doctor_checks(); fixes: what mends it, a line each. Parameters as '
'those of analytics.doctor(). Errors: 22023 for another check. For analytics.doctor() and make '
'doctor.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_check(text, boolean, boolean, integer, text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_check(text, boolean, boolean, integer, text)
TO analytics_operador;
