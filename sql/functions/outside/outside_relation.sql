-- Finds an outside table by its name.
--
-- Invariant: it never fails. to_regclass() does if the right to the schema is gone, and then no
-- view could be refreshed.

CREATE OR REPLACE FUNCTION kpi_engine.outside_relation(p_source_name text)
RETURNS oid
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $outside_relation$
    SELECT pg_class.oid
    FROM parse_ident(p_source_name) AS part (names)
    INNER JOIN pg_namespace ON pg_namespace.nspname = part.names[1]
    INNER JOIN pg_class
        ON pg_class.relnamespace = pg_namespace.oid AND pg_class.relname = part.names[2];
$outside_relation$;

COMMENT ON FUNCTION kpi_engine.outside_relation(text) IS
'The table of a name such as soporte.reclamos; NULL if there is none. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.outside_relation(text) FROM public;
