-- The finding about a check that raised an error.
--
-- Invariant: always one row. A right that the caller lacks is no fault of the installation. A right
-- that analytics_owner lacks is one (p_is_owners: the check is made as analytics_owner).
-- scripts/doctor.py runs this query from the file for its own checks, also if nothing is installed.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_error(
    p_sqlstate text, p_message text, p_role text, p_is_owners boolean, p_seconds numeric
)
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $doctor_error$
    SELECT
        CASE error.kind WHEN 'fault' THEN 'failed' ELSE 'unchecked' END,
        CASE error.kind
            WHEN 'time' THEN format('it took longer than %s s', trim_scale(p_seconds))
            WHEN 'lock' THEN format('something holds a lock for over 2 s: %s', error.message)
            WHEN 'right' THEN format('role %s may not: %s', p_role, error.message)
            ELSE format('the check itself failed: %s', error.message)
        END,
        CASE error.kind
            WHEN 'time' THEN ARRAY[format(
                'SET statement_timeout = ''%1$ss'';  -- gives it more time; make doctor: '
                'scripts/doctor.py --timeout %1$s', ceil(10 * p_seconds)
            )]
            WHEN 'right' THEN
                ARRAY['-- Run the doctor as the role that ran migrate, or as a superuser.']
            ELSE ARRAY[]::text[]
        END
    FROM (
        SELECT
            format('%s (SQLSTATE %s)', p_message, p_sqlstate) AS message,
            CASE
                WHEN p_sqlstate = '57014' AND p_seconds > 0 THEN 'time'
                WHEN p_sqlstate = '55P03' THEN 'lock'
                WHEN p_sqlstate = '42501' AND NOT p_is_owners THEN 'right'
                ELSE 'fault'
            END AS kind
    ) AS error;
$doctor_error$;

COMMENT ON FUNCTION kpi_engine.doctor_error(text, text, text, boolean, numeric) IS
'The finding about a check that raised an error: SQLSTATE, message, who called, whether the '
'check is made as analytics_owner, and the seconds of the time limit that ended it, or 0. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_error(text, text, text, boolean, numeric) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_error(text, text, text, boolean, numeric)
TO analytics_operador;
