-- At a hub: asks one site what it offers, and compares the mirror with the facts there.
--
-- Invariant: it changes nothing. Rows are compared only if the mirror has the version that the site
-- has now; else a pull is due, and they may differ.

CREATE OR REPLACE FUNCTION kpi_engine.check_hub_site(p_site text)
RETURNS TABLE (subject text, is_right boolean, answer text)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $check_hub_site$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_site kpi_engine.hub_sites;
    v_offer record;
    v_detail text;
BEGIN
    SELECT hub_sites.* INTO v_site FROM kpi_engine.hub_sites WHERE hub_sites.site = p_site;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no site %', quote_nullable(p_site)
            USING ERRCODE = 'no_data_found', HINT = 'SELECT site FROM analytics.hub_sites;';
    END IF;
    BEGIN
        v_offer := kpi_engine.offer_of_site(p_site);
    EXCEPTION WHEN OTHERS THEN
        subject := 'what it offers';
        is_right := false;
        GET STACKED DIAGNOSTICS v_detail := PG_EXCEPTION_DETAIL;
        answer := concat_ws(': ', SQLERRM, nullif(split_part(v_detail, E'\n', 1), ''));
        RETURN NEXT;
        PERFORM kpi_engine.leave_site(p_site);
        RETURN;
    END;
    subject := 'what it offers';
    is_right := true;
    answer := format('version %s, as of %s', v_offer.version, kpi_engine.iso_instant(v_offer.as_of));
    RETURN NEXT;
    IF (v_offer.version, v_offer.mark) IS DISTINCT FROM (v_site.version, v_site.mark) THEN
        subject := 'the mirror';
        is_right := NULL;
        answer := CASE
            WHEN v_site.version IS NULL THEN 'it has nothing yet: the next refresh takes all'
            ELSE format('it has version %s: the next refresh takes what changed', v_site.version)
        END;
        RETURN NEXT;
    ELSE
        PERFORM kpi_engine.send_to_site(p_site, 'SELECT * FROM kpi_engine.facts_checksums()');
        PERFORM kpi_engine.await_answer(p_site);
        RETURN QUERY EXECUTE format(
            'SELECT
                 here.table_name,
                 (here.row_count, here.checksum) = (there.row_count, there.checksum),
                 format(''%%s rows here, %%s there'', here.row_count, there.row_count)
             FROM kpi_engine.facts_checksums($2) AS here
             LEFT JOIN %s.dblink_get_result($1)
                 AS there (table_name text, row_count bigint, checksum numeric) USING (table_name)
             ORDER BY 1', v_schema
        ) USING 'teloo_hub_' || p_site, p_site;
    END IF;
    PERFORM kpi_engine.leave_site(p_site);
END;
$check_hub_site$;

COMMENT ON FUNCTION kpi_engine.check_hub_site(text) IS
'What a site answers, and for each table of facts whether the mirror has the rows of the site '
'(is_right; NULL: a pull is due). Error P0002 if there is no such site. Internal to '
'scripts/hub.py.';

REVOKE ALL ON FUNCTION kpi_engine.check_hub_site(text) FROM public;
