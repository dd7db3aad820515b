-- The ids of changed rows of one entity.

CREATE OR REPLACE FUNCTION kpi_engine.keys_of(p_changes kpi_engine.changed_keys[], p_entity text)
RETURNS uuid[]
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $keys_of$
DECLARE
    v_changed kpi_engine.changed_keys;
BEGIN
    FOREACH v_changed IN ARRAY coalesce(p_changes, ARRAY[]::kpi_engine.changed_keys[]) LOOP
        IF v_changed.entity = p_entity THEN
            RETURN v_changed.keys;
        END IF;
    END LOOP;
    RETURN ARRAY[]::uuid[];
END;
$keys_of$;

COMMENT ON FUNCTION kpi_engine.keys_of(kpi_engine.changed_keys[], text) IS
'The ids in p_changes of the entity p_entity, each once; an empty array for none. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.keys_of(kpi_engine.changed_keys[], text) FROM public;
