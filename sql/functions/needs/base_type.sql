-- Finds the type under a domain, which may be over another domain.

CREATE OR REPLACE FUNCTION kpi_engine.base_type(p_type oid)
RETURNS oid
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $base_type$
    WITH RECURSIVE base AS (
        SELECT pg_type.oid, pg_type.typtype, pg_type.typbasetype
        FROM pg_type
        WHERE pg_type.oid = p_type
        UNION ALL
        SELECT pg_type.oid, pg_type.typtype, pg_type.typbasetype
        FROM base
        INNER JOIN pg_type ON pg_type.oid = base.typbasetype
        WHERE base.typtype = 'd'
    )

    SELECT base.oid
    FROM base
    WHERE base.typtype <> 'd';
$base_type$;

COMMENT ON FUNCTION kpi_engine.base_type(oid) IS
'The type under a domain; another type is returned as it is; NULL gives NULL. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.base_type(oid) FROM public;
