-- Reads one setting.
--
-- Invariant: a name that does not exist is an error, never NULL.
-- SECURITY DEFINER: readers have no right on the table.

CREATE OR REPLACE FUNCTION analytics.setting(p_name text)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $setting$
DECLARE
    v_value text;
BEGIN
    SELECT settings.value INTO v_value
    FROM kpi_engine.settings
    WHERE settings.name = p_name;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM kpi_engine.settings) THEN
            PERFORM kpi_engine.raise_incomplete_restore();
        END IF;
        RAISE EXCEPTION 'p_name must be the name of a setting'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %L.', p_name),
                  HINT = format('One of: %s.', (
                      SELECT string_agg(settings.name, ', ' ORDER BY settings.name)
                      FROM kpi_engine.settings));
    END IF;
    RETURN v_value;
END;
$setting$;

COMMENT ON FUNCTION analytics.setting(text) IS
'Value of a setting of analytics.settings; an unknown name is an error (22023).';

REVOKE ALL ON FUNCTION analytics.setting(text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.setting(text) TO analytics_lector, analytics_operador;
