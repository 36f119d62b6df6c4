"""What prometheus() prints is what Prometheus' own client library reads."""

import os
import re
import unittest

import psycopg
import psycopg.sql
import summary
from prometheus_client.parser import text_string_to_metric_families


class Exposition(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A name with everything that a label has to escape.
        cls.odd_name = 'odd "name" \\ with\nbreaks'
        cls.url = os.environ["DATABASE_URL"]
        with psycopg.connect(cls.url, autocommit=True) as connection:
            name = connection.info.dbname
            cls.before = connection.execute("SELECT activity.prometheus()").fetchone()[0]
            connection.execute("SELECT activity.record('user.created', tenant_id => gen_random_uuid())")
            with connection.cursor() as cursor:
                for _ in range(2):
                    try:
                        cursor.execute("SELECT activity.record('no.such', tenant_id => gen_random_uuid())")
                    except psycopg.Error:
                        pass
            cls.text = connection.execute("SELECT activity.prometheus()").fetchone()[0]
            cls.rows = connection.execute("SELECT name, kind, help, labels, value FROM activity.metrics()").fetchall()
            cls.database = name
        cls.families = {family.name: family for family in text_string_to_metric_families(cls.text)}

    def samples(self):
        return [sample for family in self.families.values() for sample in family.samples]

    def test_every_row_of_metrics_is_one_sample(self):
        read = {(s.name, tuple(sorted(s.labels.items()))) for s in self.samples()}
        rows = {(name, tuple(sorted(labels.items()))) for name, _, _, labels, _ in self.rows}
        self.assertEqual(read, rows)
        self.assertGreater(len(read), 30)

    def test_the_figures_are_those_of_what_happened(self):
        def value(text, name, **labels):
            wanted = {"database": self.database, **labels}
            samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
            (found,) = [s.value for s in samples if s.name == name and s.labels == wanted]
            return found

        def grown(name, **labels):
            return value(self.text, name, **labels) - value(self.before, name, **labels)

        self.assertEqual(grown("activity_log_events_total", source="api", status="success"), 1)
        self.assertEqual(grown("activity_log_rejections_total", reason="unknown_action"), 2)
        self.assertEqual(value(self.text, "activity_log_preloaded"), 1)

    def test_names_and_kinds_follow_the_conventions(self):
        for family in self.families.values():
            self.assertTrue(family.documentation.endswith("."), family)
            self.assertRegex(family.name, r"^activity_log_[a-z_]+$")
            self.assertIn(family.type, ("counter", "gauge"))
            for sample in family.samples:
                self.assertEqual(sample.name.endswith("_total"), family.type == "counter", sample)
                self.assertNotRegex(sample.name, r"_(ms|millis|kb|mb|minutes)(_|$)")
        kinds = {name: kind for name, kind, _, _, _ in self.rows}
        for name, kind in kinds.items():
            self.assertEqual(self.families[re.sub("_total$", "", name)].type, kind)

    def test_an_odd_name_of_a_database_is_read_as_it_is(self):
        with psycopg.connect(self.url, autocommit=True) as connection:
            quoted = psycopg.sql.Identifier(self.odd_name)
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(quoted))
        with psycopg.connect(self.url, dbname=self.odd_name, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION activity_log")
            text = connection.execute("SELECT activity.prometheus()").fetchone()[0]
        names = {s.labels["database"] for f in text_string_to_metric_families(text) for s in f.samples}
        self.assertEqual(names, {self.odd_name})


if __name__ == "__main__":
    summary.run()
