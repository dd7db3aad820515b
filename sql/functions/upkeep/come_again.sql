-- Tells whether rows that were just computed changed again meanwhile.
--
-- Invariant: false only if no fact of these keys shows a transaction that was committed after the
-- keys were taken. Keys are compared as keys of facts: a user and his advisor have one.

CREATE OR REPLACE FUNCTION kpi_engine.come_again(p_changes kpi_engine.changed_keys[])
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $come_again$
DECLARE
    v_waiting constant kpi_engine.changed_keys[] := kpi_engine.waiting_changes();
BEGIN
    IF v_waiting = ARRAY[]::kpi_engine.changed_keys[] THEN
        RETURN false;
    ELSIF p_changes IS NULL THEN
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT
        FROM kpi_engine.derived_tables AS kept
        CROSS JOIN LATERAL (
            SELECT unnest(kpi_engine.keys_to_recompute(kept, v_waiting, NULL, NULL))
            INTERSECT
            SELECT unnest(kpi_engine.keys_to_recompute(kept, p_changes, NULL, NULL))
        ) AS again
        WHERE kept.upkeep = 'key'
    );
END;
$come_again$;

COMMENT ON FUNCTION kpi_engine.come_again(kpi_engine.changed_keys[]) IS
'Whether a fact that follows from these changes (NULL: any fact) also follows from one that waits '
'now. Internal to kpi_engine.apply_later_changes().';

REVOKE ALL ON FUNCTION kpi_engine.come_again(kpi_engine.changed_keys[]) FROM public;
