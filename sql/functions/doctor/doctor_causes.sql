-- Says which finding of the doctor caused which other one, and in which order to show them.
--
-- Invariant: one row for each finding. Several checks can fail because of one lost right, or one
-- missing role or table. The cause is the finding of the check for exactly that, with the statement
-- that mends it. If there is none, the cause is the first finding. A cause never has a cause
-- itself. scripts/doctor.py runs this query from the file, with its own findings among the others.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_causes(p_findings jsonb)
RETURNS TABLE (number bigint, cause bigint, place bigint)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $doctor_causes$
    WITH RECURSIVE finding AS (
        SELECT
            entry.number,
            entry.value ->> 'check' AS check_name,
            entry.value ->> 'status' AS status,
            entry.value ->> 'message' AS message,
            coalesce(entry.value ->> 'fixes', '') AS fixes
        FROM jsonb_array_elements(p_findings) WITH ORDINALITY AS entry (value, number)
    ),

    -- The wrong object of a message, without its schema.
    complaint AS (
        SELECT
            finding.*,
            regexp_replace((
                SELECT found.parts[1]
                FROM (
                    VALUES
                    (1, 'permission denied for (?:table|view|materialized view|schema|function|'
                    || 'sequence|relation) ([\w.]+)'),
                    (2, 'may not read .* (?:of|in) (?:table|view) ([\w.]+)'),
                    (3, '(?:relation|function|schema|role|type|column|view|table) "?([\w.]+)"?'
                    || '(?:\([^)]*\))? (?:does not exist|is missing|is gone)')
                ) AS pattern (place, text)
                CROSS JOIN LATERAL (
                    SELECT regexp_match(finding.message, pattern.text) AS parts
                ) AS found
                WHERE found.parts IS NOT NULL
                ORDER BY pattern.place
                LIMIT 1
            ), '^.*\.', '') AS object_name
        FROM finding
        WHERE finding.status IN ('wrong', 'failed', 'unchecked')
    ),

    object AS (
        SELECT
            named.object_name,
            row_number() OVER (ORDER BY named.first_number) AS step
        FROM (
            SELECT complaint.object_name, min(complaint.number) AS first_number
            FROM complaint
            WHERE complaint.object_name <> ''
            GROUP BY complaint.object_name
        ) AS named
    ),

    -- Which findings are about an object, the best cause first.
    about AS (
        SELECT
            object.step,
            complaint.number,
            row_number() OVER (
                PARTITION BY object.step
                ORDER BY
                    complaint.status = 'wrong'
                    AND complaint.check_name <> 'health'
                    AND complaint.fixes ~ '\m(GRANT|CREATE|ALTER|make migrate)\M' DESC,
                    -- A missing object comes before a right on it.
                    complaint.message LIKE '%is missing%' DESC,
                    complaint.number
            ) AS rank
        FROM object
        INNER JOIN complaint
            ON
                complaint.message || ' ' || complaint.fixes
                ~ format('(?<!\w)%s(?!\w)', object.object_name)
    ),

    -- One object after the other. A finding that already has a cause is skipped.
    folded AS (
        SELECT
            0::bigint AS step,
            jsonb_build_object() AS cause_of
        UNION ALL
        SELECT
            folded.step + 1,
            folded.cause_of || coalesce((
                SELECT jsonb_object_agg(follower.number, follower.head)
                FROM (
                    SELECT
                        about.number,
                        first_value(about.number) OVER (ORDER BY about.rank) AS head
                    FROM about
                    WHERE
                        about.step = folded.step + 1
                        AND NOT folded.cause_of ? about.number::text
                ) AS follower
                WHERE follower.number <> follower.head
            ), jsonb_build_object())
        FROM folded
        WHERE folded.step < (SELECT count(*) FROM object)
    ),

    -- From each finding to its cause, to the cause of that, and so on.
    path AS (
        SELECT
            finding.number,
            finding.number AS reached,
            0 AS length
        FROM finding
        UNION ALL
        SELECT
            path.number,
            (folded.cause_of ->> path.reached::text)::bigint,
            path.length + 1
        FROM path
        INNER JOIN folded
            ON
                folded.step = (SELECT count(*) FROM object)
                AND folded.cause_of ? path.reached::text
    ),

    root AS (
        SELECT DISTINCT ON (path.number) path.number, path.reached AS head
        FROM path
        ORDER BY path.number, path.length DESC
    ),

    family AS (
        SELECT
            root.number,
            root.head,
            head.status,
            count(*) OVER (PARTITION BY root.head) > 1 AS has_followers
        FROM root
        INNER JOIN finding AS head ON head.number = root.head
    )

    SELECT
        family.number,
        nullif(family.head, family.number),
        row_number() OVER (
            ORDER BY
                family.has_followers DESC,
                array_position(
                    ARRAY['failed', 'wrong', 'unchecked', 'warning', 'advice', 'ok'], family.status
                ),
                family.head,
                family.number <> family.head,
                family.number
        )
    FROM family
    ORDER BY family.number;
$doctor_causes$;

COMMENT ON FUNCTION kpi_engine.doctor_causes(jsonb) IS
'For an array of findings (check, status, message, fixes), numbered from 1: the number of the '
'one that each follows from, or NULL, and its place in the order to show them in: causes with '
'what follows from them, then the others, the worst first. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_causes(jsonb) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_causes(jsonb) TO analytics_operador;
