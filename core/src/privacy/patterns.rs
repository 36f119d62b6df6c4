//! Secrets told by their shape: the token formats of well-known services, keys and headers.
//!
//! An automaton over the literals that the formats have in common looks through a text once;
//! only where one of them stands is the format's regular expression tried.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use data_encoding::BASE64;
use regex::Regex;

use super::replacement::{Finding, Span};
use super::rule::Rule;

/// How sure a format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confidence {
    /// Nothing else looks like it.
    High,
    /// Prose or identifiers may look like it.
    Ordinary,
}

/// A format of secrets.
#[derive(Debug)]
struct Format {
    rule: Rule,
    confidence: Confidence,
    /// One of these stands in every secret of the format or before it.
    literals: &'static [&'static str],
    /// Group 1 is the secret.
    expression: &'static str,
    /// What the expression cannot say.
    is_secret: fn(&str) -> bool,
}

/// All formats, ready to be looked for.
#[derive(Debug)]
pub(super) struct Patterns {
    literals: AhoCorasick,
    /// The place in `FORMATS` of the format that every literal belongs to.
    owners: Vec<usize>,
    /// Compiled when first needed; `None` within if that failed.
    expressions: Vec<OnceLock<Option<Regex>>>,
}

/// No secret of any format is shorter than this many bytes, counting what must stand before it.
const MINIMUM_LENGTH: usize = 14;

impl Patterns {
    pub(super) fn new() -> Result<Self, aho_corasick::BuildError> {
        let literals = FORMATS.iter().flat_map(|format| format.literals);
        let owners = FORMATS.iter().enumerate();
        let owners = owners.flat_map(|(index, format)| vec![index; format.literals.len()]);
        Ok(Self {
            literals: AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::DFA))
                .build(literals)?,
            owners: owners.collect(),
            expressions: FORMATS.iter().map(|_| OnceLock::new()).collect(),
        })
    }

    /// Adds every secret in `text` to `spans`; where `identifier` is set, only those of formats
    /// that nothing else looks like.
    pub(super) fn find(&self, text: &str, identifier: bool, spans: &mut Vec<Span>) {
        // Most texts hold no literal, and to see that is faster than to look for all of them.
        if text.len() < MINIMUM_LENGTH || !self.literals.is_match(text) {
            return;
        }
        let mut tried = 0_u64;
        for found in self.literals.find_overlapping_iter(text) {
            let index = self
                .owners
                .get(found.pattern().as_usize())
                .copied()
                .unwrap_or(0);
            let bit = 1_u64 << (index % 64);
            if tried & bit == 0 {
                tried |= bit;
                self.find_format(index, text, identifier, spans);
            }
        }
    }

    fn find_format(&self, index: usize, text: &str, identifier: bool, spans: &mut Vec<Span>) {
        let (Some(format), Some(cell)) = (FORMATS.get(index), self.expressions.get(index)) else {
            return;
        };
        if identifier && format.confidence == Confidence::Ordinary {
            return;
        }
        let finding = Finding::Secret(format.rule);
        let Some(expression) = cell.get_or_init(|| Regex::new(format.expression).ok()) else {
            // Without its expression the format could be anywhere in the text.
            spans.push(Span {
                range: 0..text.len(),
                finding,
            });
            return;
        };
        let mut position = 0;
        while let Some(secret) = expression
            .captures_at(text, position)
            .and_then(|captures| captures.get(1))
        {
            // What follows the secret may also be what must stand before the next one.
            position = secret.end();
            if (format.is_secret)(secret.as_str()) {
                spans.push(Span {
                    range: secret.range(),
                    finding,
                });
            }
        }
    }
}

fn always(_: &str) -> bool {
    true
}

/// Whether a word is no word of prose: it has a digit, a sign or a capital within, or is long.
pub(super) fn looks_random(word: &str) -> bool {
    let inner_bytes = word.as_bytes().get(1..).unwrap_or_default();
    let is_prose = |byte: &u8| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'.' | b'/');
    word.len() >= 8 && (word.len() >= 24 || !inner_bytes.iter().all(is_prose))
}

/// Whether a word is Base64 of `user:password`.
fn is_basic_credential(word: &str) -> bool {
    BASE64
        .decode(word.as_bytes())
        .is_ok_and(|decoded| decoded.contains(&b':'))
}

const fn high(rule: Rule, literals: &'static [&'static str], expression: &'static str) -> Format {
    Format {
        rule,
        confidence: Confidence::High,
        literals,
        expression,
        is_secret: always,
    }
}

const FORMATS: &[Format] = &[
    high(
        Rule::AwsAccessKey,
        &["AKIA", "ASIA", "ABIA", "ACCA", "A3T"],
        r"(?:^|[^A-Z0-9])((?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})(?:[^A-Z0-9]|$)",
    ),
    Format {
        // A secret key has no mark of its own: it is known by the key id before it.
        rule: Rule::AwsSecretKey,
        confidence: Confidence::Ordinary,
        literals: &["AKIA", "ASIA"],
        expression: concat!(
            r#"A[KS]IA[A-Z0-9]{16}[\s,:;|"'\\]{1,8}(?:[A-Za-z_ ]{0,30}[\s=:"'\\]{1,6})?"#,
            r"([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)",
        ),
        is_secret: always,
    },
    high(
        Rule::AwsSessionToken,
        &["FwoG", "FQoG", "IQoJ"],
        r"((?:FwoG|FQoG|IQoJ)[A-Za-z0-9/+]{60,}={0,2})",
    ),
    high(
        Rule::GithubToken,
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,})",
    ),
    high(
        Rule::GitlabToken,
        &[
            "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "gloas-", "glsoat-", "glft-", "glimt-",
        ],
        r"(gl(?:pat|dt|rt|ptt|cbt|oas|soat|ft|imt)-[A-Za-z0-9_=-]{20,}(?:\.[a-z0-9]{2}\.[a-z0-9]{9})?)",
    ),
    high(
        Rule::SlackToken,
        &["xox", "xapp-", "hooks.slack.com/"],
        concat!(
            r"(xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}|",
            r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,})",
        ),
    ),
    high(
        Rule::StripeKey,
        &[
            "sk_test_", "sk_live_", "sk_prod_", "rk_test_", "rk_live_", "rk_prod_", "whsec_",
        ],
        r"((?:sk|rk)_(?:test|live|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,})",
    ),
    high(
        Rule::GoogleKey,
        &["AIza", "ya29.", "GOCSPX-"],
        r"(AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})",
    ),
    high(
        Rule::AnthropicKey,
        &["sk-ant-"],
        r"(sk-ant-[A-Za-z0-9_-]{20,})",
    ),
    Format {
        rule: Rule::OpenaiKey,
        confidence: Confidence::High,
        literals: &["sk-"],
        expression: concat!(
            r"(?:^|[^A-Za-z0-9])",
            r"(sk-(?:[A-Za-z0-9]{20,}|(?:proj|svcacct|admin|or)-[A-Za-z0-9_-]{20,}))",
        ),
        is_secret: looks_random,
    },
    high(Rule::NpmToken, &["npm_"], r"(npm_[A-Za-z0-9]{36,})"),
    high(
        Rule::PypiToken,
        &["pypi-AgE"],
        r"(pypi-AgE[A-Za-z0-9_-]{16,})",
    ),
    high(
        Rule::SendgridKey,
        &["SG."],
        r"(SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})",
    ),
    Format {
        rule: Rule::TwilioKey,
        confidence: Confidence::Ordinary,
        literals: &["SK"],
        expression: r"(?:^|[^A-Za-z0-9])(SK[0-9a-f]{32})(?:[^A-Za-z0-9]|$)",
        is_secret: always,
    },
    high(
        Rule::VendorToken,
        &[
            "dop_v1_",
            "doo_v1_",
            "dor_v1_",
            "hf_",
            "shpat_",
            "shpca_",
            "shppa_",
            "shpss_",
            "dckr_pat_",
            "hvs.",
            "hvb.",
            "glsa_",
            "lin_api_",
            "rubygems_",
            "xkeysib-",
            "tskey-",
            "ATATT3",
            "figd_",
            "sntrys_",
            "sbp_",
            "AGE-SECRET-KEY-1",
        ],
        concat!(
            r"((?:do[opr]_v1_|hf_|shp(?:at|ca|pa|ss)_|dckr_pat_|hv[sb]\.|glsa_|lin_api_|",
            r"rubygems_|xkeysib-|tskey-|ATATT3|figd_|sntrys_|sbp_|AGE-SECRET-KEY-1)",
            r"[A-Za-z0-9_=.-]{20,})",
        ),
    ),
    high(
        Rule::Jwt,
        &["eyJ"],
        r"(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3})",
    ),
    high(
        Rule::PrivateKey,
        &["PRIVATE KEY"],
        concat!(
            r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)",
            r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z))",
        ),
    ),
    high(
        // At least a slash-free user part, a colon and a password before the last `@`.
        Rule::ConnectionPassword,
        &["://"],
        r#"://[^\s/:@?#"'<>\\]*:([^\s/?"'<>\\]+)@"#,
    ),
    Format {
        rule: Rule::Bearer,
        confidence: Confidence::Ordinary,
        literals: &["Bearer", "bearer", "BEARER"],
        expression: r"(?i)\bbearer(?:[\s:=]|%20|\+)+([A-Za-z0-9._~+/-]{8,}=*)",
        is_secret: looks_random,
    },
    Format {
        rule: Rule::Basic,
        confidence: Confidence::Ordinary,
        literals: &["Basic", "basic", "BASIC"],
        expression: r"(?i)\bbasic[ \t]+([A-Za-z0-9+/]{8,}={0,2})",
        is_secret: is_basic_credential,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles_and_has_a_group() {
        for format in FORMATS {
            let expression = Regex::new(format.expression).unwrap();
            assert!(expression.captures_len() == 2, "{}", format.rule.name());
        }
    }

    #[test]
    fn every_format_has_a_bit_in_the_set_of_tried_formats() {
        assert!(FORMATS.len() <= 64);
    }
}
