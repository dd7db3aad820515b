-- Applies what was committed while derived tables were computed again in this transaction.
--
-- Invariant: a row that moved from a batch that was still to come into one that was done is in no
-- batch. Its key is in the log by then, because its statement committed before the later batch was
-- read. So nothing that was there all the time is missing when the views are published. If a lost
-- change came meanwhile, it stays in the log: the next refresh computes everything again.

CREATE OR REPLACE FUNCTION kpi_engine.apply_later_changes(p_today date)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $apply_later_changes$
DECLARE
    v_changes kpi_engine.changed_keys[];
BEGIN
    SELECT array_agg(ROW(taken.entity, taken.keys)::kpi_engine.changed_keys) INTO v_changes
    FROM kpi_engine.take_changes() AS taken;
    IF v_changes IS NULL THEN
        RETURN ARRAY[]::text[];
    END IF;
    INSERT INTO kpi_engine.change_log (entity, key)
    SELECT 'everything', lost.key
    FROM unnest(kpi_engine.keys_of(v_changes, 'everything')) AS lost (key);
    PERFORM kpi_engine.require_own_ids(v_changes);
    RETURN kpi_engine.apply_upkeep(v_changes, p_today);
END;
$apply_later_changes$;

COMMENT ON FUNCTION kpi_engine.apply_later_changes(date) IS
'Takes the change log once more, after derived tables were computed again for windows that end '
'with p_today, and applies it; returns the derived tables that changed. Internal to '
'kpi_engine.apply_changes().';

REVOKE ALL ON FUNCTION kpi_engine.apply_later_changes(date) FROM public;
