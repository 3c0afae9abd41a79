-- The table `bench` and its changes: ten columns of the usual types, about 250 bytes a row, the same values whenever it is made.

CREATE TABLE bench (
  id bigint PRIMARY KEY,
  amount integer NOT NULL,
  share double precision NOT NULL,
  price numeric(12, 2) NOT NULL,
  title text NOT NULL,
  seen_at timestamp with time zone NOT NULL,
  is_open boolean NOT NULL,
  detail jsonb NOT NULL,
  token uuid NOT NULL,
  due date NOT NULL
);

CREATE FUNCTION rows_of(first bigint, last bigint) RETURNS SETOF bench LANGUAGE sql STABLE AS $$
  SELECT n,
         (n * 6151 % 99991)::integer,
         (n % 999961) / 11.0::double precision,
         (n * 37 % 1000000000) / 100.0,
         'title ' || n || ' ' || md5(n::text),
         timestamptz '2023-06-01 00:00:00+00' + n % 30000000 * interval '1 second' + n % 1000000 * interval '1 microsecond',
         n % 4 = 0,
         jsonb_build_object('g', n % 1000, 'w', 'w' || n % 89, 'tags', jsonb_build_array('a' || n % 5, 'b' || n % 7),
                            'in', jsonb_build_object('x', n * 2, 'no', NULL)),
         md5('token ' || n)::uuid,
         date '2019-01-01' + (n % 2500)::integer
  FROM generate_series(first, last) n
$$;

-- Transactions of 1,000 changes: 300 rows inserted, 300 deleted, 390 updated all over the table, and 10 that get another key. Those that go have
-- the lowest keys, those that come the highest, so that there are as many rows as before and no holes between them.
CREATE PROCEDURE change(transactions bigint) LANGUAGE plpgsql AS $$
DECLARE
  low bigint;
  high bigint;
  updated bigint;
BEGIN
  SELECT min(id), max(id) INTO low, high FROM bench;
  FOR turn IN 1..transactions LOOP
    INSERT INTO bench SELECT * FROM rows_of(high + 1, high + 300);
    DELETE FROM bench WHERE id BETWEEN low AND low + 299;
    UPDATE bench SET id = id + high - low + 1 WHERE id BETWEEN low + 300 AND low + 309;
    low := low + 310;
    high := high + 310;
    -- Multiples of a prime that is none of the number of rows: no two fall together.
    UPDATE bench SET amount = amount + 1, title = 'changed ' || turn || ' ' || md5(turn || title), is_open = NOT is_open
      WHERE id = ANY (ARRAY(SELECT low + (turn * 390 + n)::bigint * 1000003 % (high - low + 1) FROM generate_series(1, 390) n));
    GET DIAGNOSTICS updated = ROW_COUNT;
    IF updated <> 390 THEN
      RAISE 'expected 390 rows to be updated, got %', updated;
    END IF;
    COMMIT;
  END LOOP;
END
$$;

-- A hundred transactions a second, each with five rows inserted and five updated. Rows 1 to changes / 2 are there before; each row is touched once.
CREATE PROCEDURE trickle(changes bigint) LANGUAGE plpgsql AS $$
DECLARE
  begun timestamptz := clock_timestamp();
BEGIN
  FOR turn IN 0..changes / 10 - 1 LOOP
    -- By the clock and not by the last one, so that a late one does not slow down the rest.
    PERFORM pg_sleep(extract(epoch FROM begun + turn * interval '10 ms' - clock_timestamp()));
    INSERT INTO bench SELECT * FROM rows_of(changes / 2 + turn * 5 + 1, changes / 2 + turn * 5 + 5);
    UPDATE bench SET amount = amount + 1 WHERE id BETWEEN turn * 5 + 1 AND turn * 5 + 5;
    COMMIT;
  END LOOP;
END
$$;
