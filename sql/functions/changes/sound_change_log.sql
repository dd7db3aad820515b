-- Returns one row if the change log accepts all rows of the capture triggers.
--
-- Invariant: no row, if an INSERT of right types could fail, fire something or wait. That is so
-- after somebody put a constraint, a trigger, a rule, an index, a policy or a column on the log.
-- kpi_engine.capture_obstacle() has the same conditions, and says which one is broken.
-- It has no SET clause, and has RETURNS TABLE. So the planner puts it into the triggers'
-- statements.

CREATE OR REPLACE FUNCTION kpi_engine.sound_change_log()
RETURNS TABLE (is_sound boolean)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
BEGIN ATOMIC
    SELECT true
    FROM pg_catalog.pg_class
    WHERE
        pg_class.oid = 'kpi_engine.change_log'::pg_catalog.regclass
        AND pg_class.relkind = 'r'
        AND pg_class.relnatts = 2
        AND pg_class.relchecks = 0
        -- The marks of pg_class stay until the next VACUUM.
        AND NOT (pg_class.relhastriggers AND EXISTS (
            SELECT FROM pg_catalog.pg_trigger
            WHERE pg_trigger.tgrelid = pg_class.oid
        ))
        AND NOT (pg_class.relhasrules AND EXISTS (
            SELECT FROM pg_catalog.pg_rewrite
            WHERE pg_rewrite.ev_class = pg_class.oid
        ))
        AND NOT (pg_class.relhasindex AND EXISTS (
            SELECT FROM pg_catalog.pg_index
            WHERE pg_index.indrelid = pg_class.oid
        ))
        AND NOT pg_class.relrowsecurity
        AND NOT pg_class.relispartition
        AND pg_typeof((NULL::kpi_engine.change_log).entity) = 'text'::pg_catalog.regtype
        AND pg_typeof((NULL::kpi_engine.change_log).key) = 'uuid'::pg_catalog.regtype;
END;

COMMENT ON FUNCTION kpi_engine.sound_change_log() IS
'One row if kpi_engine.change_log is as migrate made it, else none. Internal to the triggers of '
'change capture.';

REVOKE ALL ON FUNCTION kpi_engine.sound_change_log() FROM public;
