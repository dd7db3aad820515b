-- Returns the text of a failed refresh as the HTTP API shows it.
--
-- Invariant: no path of the server and no value of the source leaves. The SQLSTATE classes whose
-- messages contain them get general words. The full text stays in the logs.

CREATE OR REPLACE FUNCTION kpi_engine.public_error(p_message text, p_sqlstate text)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $public_error$
DECLARE
    -- The message of a job that did not run ends with its SQLSTATE.
    v_sqlstate constant text := coalesce(
        substring(p_message FROM '\(SQLSTATE ([0-9A-Z]{5})\)$'), p_sqlstate
    );
    v_words constant text := CASE
        -- A file that the server may not open gives 42501, the same as a table.
        WHEN v_sqlstate LIKE '58%' OR v_sqlstate = '42501' AND p_message LIKE '%could not %'
            THEN 'the system under the database server failed'
        -- A division by zero names no value.
        WHEN v_sqlstate LIKE '22%' AND v_sqlstate <> '22012'
            THEN 'a value does not fit what is computed from it'
        WHEN v_sqlstate LIKE '53%' THEN 'the database server ran out of room or another resource'
        WHEN v_sqlstate LIKE 'XX%'
            THEN 'the database server found a fault in itself or in its files'
    END;
BEGIN
    IF p_message IS NULL OR v_words IS NULL THEN
        RETURN p_message;
    END IF;
    RETURN format('%s (SQLSTATE %s); the log of refreshes has the details', v_words, v_sqlstate);
END;
$public_error$;

COMMENT ON FUNCTION kpi_engine.public_error(text, text) IS
'Message of a failed refresh for the HTTP API: general words where those of its SQLSTATE may '
'hold paths or data (classes 22, 53, 58, XX; a file that may not be opened), else as it is. '
'NULL gives NULL.';

REVOKE ALL ON FUNCTION kpi_engine.public_error(text, text) FROM public;
