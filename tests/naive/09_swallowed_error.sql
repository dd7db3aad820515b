-- Naive: whatever goes wrong is answered with an empty list.
--
-- Wrong: "there are no advisors" and "the view was never filled" look the same to the caller,
-- and nobody is told.

CREATE FUNCTION public.naive_ranking() RETURNS SETOF analytics.mv_ranking_asesores
LANGUAGE plpgsql
AS $naive_ranking$
BEGIN
    RETURN QUERY SELECT * FROM analytics.mv_ranking_asesores;
EXCEPTION
    WHEN OTHERS THEN
        RETURN;
END;
$naive_ranking$;
