-- Returns the cities whose figures this request may see.
--
-- Invariant: NULL means all cities, because the token has no claim ciudades, or because this is no
-- request of the HTTP API. A claim of a wrong form shows no city at all.
-- check_request refuses such a token before.

CREATE OR REPLACE FUNCTION kpi_engine.token_cities()
RETURNS text[]
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $token_cities$
DECLARE
    v_claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '');
BEGIN
    IF v_claims ? 'ciudades' THEN
        RETURN ARRAY(
            SELECT DISTINCT named.key
            FROM jsonb_array_elements(
                CASE jsonb_typeof(v_claims -> 'ciudades')
                    WHEN 'array' THEN v_claims -> 'ciudades'
                    ELSE '[]'
                END
            ) AS listed (city)
            CROSS JOIN LATERAL analytics.city_key(listed.city #>> '{}') AS named (key)
            WHERE jsonb_typeof(listed.city) = 'string' AND named.key <> ''
            ORDER BY named.key
        );
    END IF;
    RETURN NULL;
END;
$token_cities$;

COMMENT ON FUNCTION kpi_engine.token_cities() IS
'Keys (analytics.city_key) of the cities in the claim ciudades of the token of this request; NULL '
'without that claim: all cities.';

REVOKE ALL ON FUNCTION kpi_engine.token_cities() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.token_cities() TO analytics_lector, analytics_operador;
