-- Naive: the top five by volumen_total_ofertas, out of the first page of the ranking.
--
-- Wrong: whoever trades most may rank sixth. The page must be cut after sorting by what was
-- asked for.

SELECT asesor_id::text
FROM (
    SELECT *
    FROM analytics.mv_ranking_asesores
    ORDER BY ranking_nacional, asesor_id
    LIMIT 5
) AS first_page
ORDER BY volumen_total_ofertas DESC, asesor_id ASC;
