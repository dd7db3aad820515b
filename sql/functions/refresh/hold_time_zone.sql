-- Keeps the setting time_zone unchanged until the end of the transaction.
--
-- Invariant: all statements of one computation use one zone.

CREATE OR REPLACE FUNCTION kpi_engine.hold_time_zone(p_expected text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $hold_time_zone$
DECLARE
    v_time_zone text;
BEGIN
    SELECT settings.value INTO STRICT v_time_zone
    FROM kpi_engine.settings
    WHERE settings.name = 'time_zone'
    FOR SHARE;
    IF v_time_zone <> p_expected THEN
        RAISE EXCEPTION 'the setting time_zone changed during the rebuild'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('From %s to %s.', p_expected, v_time_zone),
                  HINT = 'CALL analytics.rebuild(); starts over.';
    END IF;
END;
$hold_time_zone$;

COMMENT ON FUNCTION kpi_engine.hold_time_zone(text) IS
'Locks the setting time_zone against changes until the end of the transaction. Errors: 55000 if '
'it is not p_expected (NULL expects any). Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.hold_time_zone(text) FROM public;
