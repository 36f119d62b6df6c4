-- A digest of everything that decides what is removed, and whether anything is held.
SELECT encode(sha256(convert_to(concat_ws(E'\n',
           (SELECT string_agg(jsonb_build_array(p.policy_id, p.tenant_id, p.category, p.action,
                                                encode(interval_send(p.keep), 'hex'), encode(interval_send(p.online), 'hex'), p.archive_to)::text, E'\n' ORDER BY p.policy_id)
            FROM activity.retention_policies p),
           (SELECT string_agg(jsonb_build_array(a.action, a.category, encode(interval_send(a.keep), 'hex'))::text, E'\n' ORDER BY a.action)
            FROM activity.actions a WHERE a.category IS NOT NULL OR a.keep IS NOT NULL),
           (SELECT string_agg(h.hold_id::text, E'\n' ORDER BY h.hold_id)
            FROM activity.legal_holds h WHERE h.released_at IS NULL)), 'UTF8')), 'hex'),
       EXISTS (SELECT FROM activity.legal_holds h WHERE h.released_at IS NULL)
