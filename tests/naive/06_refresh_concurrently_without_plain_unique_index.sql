-- Naive: REFRESH … CONCURRENTLY of a view whose only unique indexes are not plain.
--
-- Wrong: PostgreSQL matches old and new rows by a unique index on columns alone, without WHERE.
-- One on an expression, or a partial one, does not count: SQLSTATE 55000.

CREATE MATERIALIZED VIEW public.naive_ranking AS
SELECT
    asesor_id,
    estado_asesor,
    ofertas_ganadoras
FROM analytics.mv_ranking_asesores;
CREATE UNIQUE INDEX ON public.naive_ranking ((asesor_id::text));
CREATE UNIQUE INDEX ON public.naive_ranking (asesor_id) WHERE estado_asesor = 'ACTIVO';
REFRESH MATERIALIZED VIEW CONCURRENTLY public.naive_ranking;
