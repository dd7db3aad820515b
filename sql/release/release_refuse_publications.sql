-- Stops where new tables or columns of ours would stop the subscribers of the source.

CREATE FUNCTION pg_temp.release_refuse_publications()
RETURNS void
LANGUAGE plpgsql
AS $release_refuse_publications$
DECLARE
    v_broad record;
BEGIN
    FOR v_broad IN
        SELECT broad.publication, broad.slots
        FROM kpi_engine.broad_publications() AS broad (publication, slots)
    LOOP
        RAISE EXCEPTION
            'publication % sends all tables, so also those of this package; a subscriber that lacks them stops, and slot % may be one; nothing was changed',
            v_broad.publication, array_to_string(v_broad.slots, ' or ')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Let it send what the subscribers need: CREATE PUBLICATION ... FOR TABLES IN '
                         'SCHEMA ...; at each subscriber ALTER SUBSCRIPTION ... SET PUBLICATION ...; '
                         'then drop it. Or install this version at each subscriber first. Where that '
                         'is done, or the slot is of a reader that needs no tables (Debezium), run '
                         'the file again with PGOPTIONS=''-c analytics.subscribers_ready=yes''.';
    END LOOP;
END;
$release_refuse_publications$;
