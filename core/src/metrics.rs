//! Figures about the log, and their text form: version 0.0.4 of Prometheus' exposition format.

use std::fmt::Write as _;

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from zero at the start of the server.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// The name, as Prometheus knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What tells it from the metric's other values.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

/// A metric with all its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name, with its unit; that of a counter ends with `_total`.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// One sentence for people.
    pub help: &'static str,
    /// The values, each under other labels.
    pub samples: Vec<Sample>,
}

/// The metrics as text that Prometheus scrapes.
#[must_use]
pub fn exposition(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics {
        let (name, kind) = (metric.name, metric.kind.name());
        // Writing to a string can't fail.
        let _ = writeln!(text, "# HELP {name} {}", escape(metric.help, false));
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for sample in &metric.samples {
            let _ = writeln!(
                text,
                "{name}{} {}",
                labels(&sample.labels),
                number(sample.value)
            );
        }
    }
    text
}

fn labels(labels: &[(&'static str, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value, true)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn escape(text: &str, is_quoted: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if is_quoted => escaped.push_str("\\\""),
            other => escaped.push(other),
        }
    }
    escaped
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.into()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_metric_is_written_as_prometheus_reads_it() {
        let metric = Metric {
            name: "activity_log_events_total",
            kind: Kind::Counter,
            help: "Events\nwritten.",
            samples: vec![
                Sample {
                    labels: vec![("database", "a\"b\\c".into()), ("status", "success".into())],
                    value: 3.0,
                },
                Sample {
                    labels: vec![],
                    value: 0.25,
                },
            ],
        };
        assert_eq!(
            exposition(&[metric]),
            "# HELP activity_log_events_total Events\\nwritten.\n\
             # TYPE activity_log_events_total counter\n\
             activity_log_events_total{database=\"a\\\"b\\\\c\",status=\"success\"} 3\n\
             activity_log_events_total 0.25\n"
        );
    }

    #[test]
    fn odd_numbers_have_their_names() {
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(number(f64::INFINITY), "+Inf");
        assert_eq!(number(f64::NEG_INFINITY), "-Inf");
        assert_eq!(number(1e21), "1000000000000000000000");
    }

    proptest! {
        #[test]
        fn whatever_a_label_holds_a_sample_is_one_line(value: String, figure: f64) {
            let metric = Metric {
                name: "m", kind: Kind::Gauge, help: "h",
                samples: vec![Sample { labels: vec![("l", value.clone())], value: figure }],
            };
            let text = exposition(&[metric]);
            let lines: Vec<&str> = text.split_terminator('\n').collect();
            prop_assert_eq!(lines.len(), 3);
            let (quoted, written) = lines[2].strip_prefix("m{l=\"").unwrap().rsplit_once("\"} ").unwrap();
            prop_assert_eq!(unescape(quoted), value);
            let read: f64 = written.replace("Inf", "inf").parse().unwrap();
            prop_assert!(read == figure || (read.is_nan() && figure.is_nan()));
        }
    }

    fn unescape(text: &str) -> String {
        let mut plain = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match (character, character == '\\') {
                (_, true) => match characters.next() {
                    Some('n') => plain.push('\n'),
                    Some(other) => plain.push(other),
                    None => panic!("a lone backslash"),
                },
                (other, false) => plain.push(other),
            }
        }
        plain
    }
}
