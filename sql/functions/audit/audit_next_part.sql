-- Audits the next part of the rotation.
--
-- Invariant: after as many calls as the setting audit_rotation says, all of history was audited.

CREATE OR REPLACE FUNCTION kpi_engine.audit_next_part()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $audit_next_part$
DECLARE
    v_rotation constant text := analytics.setting('audit_rotation');
    v_position integer;
BEGIN
    IF v_rotation = 'off' THEN
        RETURN;
    END IF;
    UPDATE kpi_engine.engine_state SET audit_position = audit_position % v_rotation::integer + 1
    RETURNING engine_state.audit_position INTO v_position;
    PERFORM analytics.audit(v_position, v_rotation::integer);
END;
$audit_next_part$;

COMMENT ON FUNCTION kpi_engine.audit_next_part() IS
'Audits one part of history, the next one each time, and sets cells that differ right. '
'Internal to the scheduled refresh.';

REVOKE ALL ON FUNCTION kpi_engine.audit_next_part() FROM public;
