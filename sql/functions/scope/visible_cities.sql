-- Returns the cities whose rows an answer has: the one that was asked for, or those of the token.
--
-- Invariant: a city that the token is not for is refused. It is no empty answer.

CREATE OR REPLACE FUNCTION kpi_engine.visible_cities(p_city_key text)
RETURNS text[]
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $visible_cities$
DECLARE
    v_cities constant text[] := kpi_engine.token_cities();
BEGIN
    IF p_city_key IS NULL THEN
        RETURN v_cities;
    END IF;
    IF p_city_key <> ALL (v_cities) THEN
        PERFORM kpi_engine.raise_scope_error('ciudad must be one of them');
    END IF;
    RETURN ARRAY[p_city_key];
END;
$visible_cities$;

COMMENT ON FUNCTION kpi_engine.visible_cities(text) IS
'Keys of the cities that a request shows; NULL: all. p_city_key: the one that it asks for, or '
'NULL. Error: status 403 where the token is not for it.';

REVOKE ALL ON FUNCTION kpi_engine.visible_cities(text) FROM public;
