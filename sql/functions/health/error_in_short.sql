-- The cause of a failure in one line, for alerts and health.
--
-- Invariant: the same as kpi_engine.public_error(), but without e-mail addresses, passwords and
-- line ends, because it leaves the database by mail and chat.

CREATE OR REPLACE FUNCTION kpi_engine.error_in_short(p_message text, p_sqlstate text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $error_in_short$
    SELECT
        CASE WHEN line.words = '' THEN 'without a message' ELSE left(line.words, 200) END
        || CASE
            WHEN p_sqlstate IS NULL OR position('SQLSTATE' IN line.words) > 0 THEN ''
            ELSE format(' (SQLSTATE %s)', p_sqlstate)
        END
    FROM (
        SELECT regexp_replace(
            regexp_replace(
                split_part(
                    ltrim(translate(
                        coalesce(kpi_engine.public_error(p_message, p_sqlstate), ''), E'\r', E'\n'
                    ), E'\n\t '),
                    E'\n', 1
                ),
                '[^[:space:]"''<>@]+@[^[:space:]"''<>@]+', '…', 'g'
            ),
            '(password[[:space:]]*[=:]?[[:space:]]*)(''[^'']*''?|=[^[:space:]]+)', '\1…', 'gi'
        ) AS words
    ) AS line;
$error_in_short$;

COMMENT ON FUNCTION kpi_engine.error_in_short(text, text) IS
'First line of an error''s message, at most 200 characters, with its SQLSTATE; as '
'kpi_engine.public_error(), and without addresses of e-mail and passwords.';

REVOKE ALL ON FUNCTION kpi_engine.error_in_short(text, text) FROM public;
