-- The instant that SET analytics.now pins. analytics.now() asks for it.
--
-- Invariant: a pinned clock that is not allowed is an error, so that nobody takes numbers of
-- another day for today's.

CREATE OR REPLACE FUNCTION kpi_engine.pinned_now()
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $pinned_now$
DECLARE
    v_pinned constant text := current_setting('analytics.now', true);
    v_instant timestamptz;
BEGIN
    IF analytics.setting('allow_pinned_clock') <> 'on' THEN
        RAISE EXCEPTION 'analytics.now must not be set here'
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('It is %L; the setting allow_pinned_clock is off.', v_pinned),
                  HINT = 'RESET analytics.now, or have the owner set allow_pinned_clock to on.';
    END IF;
    BEGIN
        v_instant := v_pinned::timestamptz;
    EXCEPTION WHEN data_exception THEN
        v_instant := 'infinity';
    END;
    IF NOT isfinite(v_instant) THEN
        RAISE EXCEPTION 'analytics.now must be an instant'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %L.', v_pinned),
                  HINT = 'SET analytics.now = ''2026-11-23 12:00:00-05''; or RESET analytics.now;';
    END IF;
    RETURN v_instant;
END;
$pinned_now$;

COMMENT ON FUNCTION kpi_engine.pinned_now() IS
'What SET analytics.now pins, where the setting allow_pinned_clock is on. Errors: 42501 not '
'allowed, 22023 not an instant.';

REVOKE ALL ON FUNCTION kpi_engine.pinned_now() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.pinned_now() TO analytics_lector, analytics_operador;
