-- Accepts what the gate holds back of a view, and says what that is.
--
-- Invariant: one statement, so that the words are those of what it accepts: a refresh may replace
-- the findings at any moment.

CREATE OR REPLACE FUNCTION kpi_engine.accept_holds(
    p_view_name text, p_how text, p_reason text, OUT acceptance_ids bigint[], OUT findings text[]
)
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $accept_holds$
    WITH held AS MATERIALIZED (
        SELECT * FROM kpi_engine.gate_holds WHERE gate_holds.view_name = p_view_name
    ),

    accepted AS (
        INSERT INTO kpi_engine.gate_acceptances (
            view_name, rule, column_name, period, before, after, how, reason, accepted_by, held_at
        )
        SELECT
            held.view_name, held.rule, held.column_name, held.period, held.before, held.after,
            p_how, p_reason, kpi_engine.requester(), held.held_at
        FROM held
        RETURNING gate_acceptances.acceptance_id
    )

    SELECT
        (SELECT array_agg(accepted.acceptance_id) FROM accepted),
        (
            SELECT array_agg(kpi_engine.gate_words(
                NULL, held.rule, held.column_name, held.period, held.before, held.after,
                held.allowed
            ) ORDER BY held.hold_id)
            FROM held
        );
$accept_holds$;

COMMENT ON FUNCTION kpi_engine.accept_holds(text, text, text) IS
'Writes kpi_engine.gate_acceptances for all that is held of a view (p_how and p_reason as in '
'analytics.accept_gate()). Returns their numbers, and the findings in words; NULL: nothing is '
'held. Internal to analytics.accept_gate() and api.gate().';

REVOKE ALL ON FUNCTION kpi_engine.accept_holds(text, text, text) FROM public;
