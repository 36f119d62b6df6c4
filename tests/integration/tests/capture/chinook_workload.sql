-- A year of a record shop in a minute: what an application, a DBA and an accident do to it.
-- {copies} says how often each invoice line is repeated for the bulk load.

-- Orders: 100 customers buy four tracks each, one transaction an order.
DO $$
DECLARE
    v_invoice int;
BEGIN
    FOR n IN 1..100 LOOP
        INSERT INTO invoice (customer_id, invoice_date, billing_address, billing_city, billing_country, total)
        SELECT customer_id, timestamp '2026-01-01 09:00:00.5' + make_interval(hours => n), address, city, country, 0
        FROM customer WHERE customer_id = 1 + n % 59
        RETURNING invoice_id INTO v_invoice;
        INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
        SELECT v_invoice, track_id, unit_price, 1 + track_id % 3 FROM track WHERE track_id BETWEEN n * 30 AND n * 30 + 3;
        UPDATE invoice SET total = (SELECT sum(unit_price * quantity) FROM invoice_line WHERE invoice_id = v_invoice)
        WHERE invoice_id = v_invoice;
    END LOOP;
END
$$;

-- A new price for a genre, a second one that is taken back, and one that is the old.
BEGIN;
UPDATE track SET unit_price = unit_price * 1.10 WHERE genre_id = 1;
SAVEPOINT doubtful;
UPDATE track SET unit_price = 0;
ROLLBACK TO doubtful;
UPDATE track SET unit_price = unit_price WHERE genre_id = 2;
COMMIT;

-- Corrections of texts and of NULL, and an album that moves to another artist.
UPDATE customer SET company = NULL, fax = coalesce(fax, phone), email = lower(email) WHERE customer_id % 2 = 0;
UPDATE employee SET title = E'Head of "IT" \\ Süd', birth_date = NULL WHERE employee_id = 6;
UPDATE album SET artist_id = 2 WHERE album_id = 3;
INSERT INTO artist (name) VALUES (E'tab\there, quote "'), ('🎵'), (NULL);

-- Two customers turn out to be one.
BEGIN;
UPDATE invoice SET customer_id = 1 WHERE customer_id = 2;
DELETE FROM customer WHERE customer_id = 2;
COMMIT;

-- An artist leaves, and with it everything of it.
DELETE FROM artist WHERE artist_id IN (90, 22);

-- Keys change, and what refers to them follows.
UPDATE playlist SET playlist_id = playlist_id + 1000 WHERE playlist_id IN (1, 3);
INSERT INTO playlist_track SELECT 5, track_id FROM track WHERE genre_id = 3 ON CONFLICT DO NOTHING;

-- Returns are loaded in bulk, repriced in bulk, and partly removed.
INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
SELECT invoice_id, track_id, unit_price, n FROM invoice_line, generate_series(1, {copies}) AS n;
UPDATE invoice_line SET unit_price = unit_price + 0.01, quantity = quantity + 1;
DELETE FROM invoice_line WHERE invoice_line_id % 7 = 0;

-- A list is emptied and filled again.
TRUNCATE playlist_track;
INSERT INTO playlist_track SELECT DISTINCT 5, track_id FROM invoice_line;
