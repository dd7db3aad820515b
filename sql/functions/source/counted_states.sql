-- Lists the states that the rules of the KPIs name.

CREATE OR REPLACE FUNCTION kpi_engine.counted_states()
RETURNS text[]
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN ARRAY[
    'ABIERTA', 'OFERTAS_ACEPTADAS', 'OFERTAS_RECHAZADAS', 'ACEPTADA', 'RECHAZADA', 'EXPIRADA',
    'CERRADA_SIN_OFERTAS', 'ENVIADA', 'GANADORA', 'ACTIVO'
];

COMMENT ON FUNCTION kpi_engine.counted_states() IS
'Values of the columns estado that the rules of the KPIs name: under another name a row would be '
'counted as something else.';

REVOKE ALL ON FUNCTION kpi_engine.counted_states() FROM public;
