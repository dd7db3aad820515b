-- Writes the condition that a row has no pending change.

CREATE OR REPLACE FUNCTION kpi_engine.not_waiting_condition(p_key_column text, p_entity text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $not_waiting_condition$
    SELECT format(
        '(%1$s IS NULL OR %1$s NOT IN (
             SELECT key FROM kpi_engine.change_log WHERE entity = %2$L AND key IS NOT NULL
             UNION
             SELECT key FROM kpi_engine.pending_changes WHERE entity = %2$L AND NOT is_applied
         ))', p_key_column, p_entity
    );
$not_waiting_condition$;

COMMENT ON FUNCTION kpi_engine.not_waiting_condition(text, text) IS
'Condition on a key column (quoted, perhaps with its relation): no change of this entity waits for '
'the next refresh. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.not_waiting_condition(text, text) FROM public;
