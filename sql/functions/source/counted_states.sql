-- Lists the states that the rules of the KPIs name: in which table, and in which generations.

CREATE OR REPLACE FUNCTION kpi_engine.counted_states()
RETURNS TABLE (table_name text, generations text, label text)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
ROWS 11
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $counted_states$
    VALUES
    ('asesores', 'AB', 'ACTIVO'),
    ('ofertas', 'AB', 'ENVIADA'),
    ('ofertas', 'AB', 'GANADORA'),
    ('ofertas', 'AB', 'ACEPTADA'),
    ('solicitudes', 'AB', 'ABIERTA'),
    ('solicitudes', 'AB', 'CERRADA_SIN_OFERTAS'),
    ('solicitudes', 'A', 'OFERTAS_ACEPTADAS'),
    ('solicitudes', 'A', 'OFERTAS_RECHAZADAS'),
    ('solicitudes', 'B', 'ACEPTADA'),
    ('solicitudes', 'B', 'RECHAZADA'),
    ('solicitudes', 'B', 'EXPIRADA');
$counted_states$;

COMMENT ON FUNCTION kpi_engine.counted_states() IS
'Values of the columns estado that the rules of the KPIs name, with their tables and the '
'generations of the source: under another name a row would be counted as something else.';

REVOKE ALL ON FUNCTION kpi_engine.counted_states() FROM public;
